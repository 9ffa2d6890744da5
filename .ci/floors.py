"""Prints the lower bounds of pyproject.toml as constraints for pip: the oldest that is promised."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
requirements = {*project["dependencies"]}.union(*project["optional-dependencies"].values())
for requirement in sorted(requirements):
    if bound := re.match(r"([\w.-]+)>=([\w.]+)", requirement):
        print("{}=={}".format(*bound.groups()))
