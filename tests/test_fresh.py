"""A plugin of every kind, installed by pip into a fresh environment: listed, tested, and run.

The environment has what this one has, through a path file, so nothing is downloaded. One process
runs the tests of all plugins and one makes all runs: each begins with the import of torch, and all
of them are loaded in each anyway, since they are installed.
"""

import json
import os
import shlex
import site
import subprocess
import sys
import venv

from ddopt.setup import scaffold
from tests.runs import ROOT

KINDS = scaffold.kinds()
RUNS = """
import json, os, sys
from ddopt.cli import cli

for folder, words in json.loads(sys.argv[1]):
    os.chdir(folder)
    try:
        cli.main(words)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{folder}: ddopt {words} ended with {end.code}")
"""


def environment(place):
    """Python of a new environment, which finds this checkout and the packages of this one."""
    venv.create(place)
    python = place / "bin" / "python"
    (packages,) = place.glob("lib/python*/site-packages")
    others = f"import site; list(map(site.addsitedir, {site.getsitepackages()!r}))"
    (packages / "others.pth").write_text(f"{ROOT}\n{ROOT / 'plugins'}\n{others}\n")
    return python


def called(*words, cwd):
    """What a command prints, which must succeed."""
    settings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env=settings,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def printed(command):
    """The words after ``ddopt`` of the command that tries a plugin, once it is installed."""
    words = shlex.split(command.rpartition("&& ")[2])
    end = words.index("--plugin") if "--plugin" in words else None
    return words[1:end]


def test_a_plugin_of_every_kind_in_a_fresh_environment(tmp_path):
    python = environment(tmp_path / "environment")
    made = {kind: scaffold.write(f"fresh-{kind}", kind, tmp_path) for kind in KINDS}
    folders = [folder for folder, _ in made.values()]
    installing = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    called(sys.executable, "-m", "pip", "--python", python, "install", *installing, *folders,
           cwd=tmp_path)  # fmt: skip

    listed = json.loads(called(python, "-m", "ddopt", "plugins", "--json", cwd=tmp_path))
    rows = {row["name"]: row for row in listed}
    for kind in KINDS:
        row = rows[f"ddopt_fresh_{kind}"]
        assert (row["status"], row["version"]) == ("ok", "0.1.0"), row
        seams = [component["seam"] for component in row["components"]]
        assert seams == ([] if kind in ("hook", "command") else [kind])
        assert row["hooks"]

    told = called(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *folders, cwd=tmp_path)
    assert f"{len(KINDS)} passed" in told

    lines = [[str(folder), printed(command)] for folder, command in made.values()]
    called(python, "-c", RUNS, json.dumps(lines), cwd=tmp_path)
    for kind, (folder, command) in made.items():
        results = list(folder.glob("runs/*/summary.json"))
        assert len(results) == (1 if "ddopt run" in command else 0), kind
