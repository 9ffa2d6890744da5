"""Prints the README with absolute links: a package index shows it without the files beside it.

    python .ci/absolute_links.py https://HOST/OWNER/ddopt/blob/v0.2.0/ \\
        https://HOST/OWNER/ddopt/raw/v0.2.0/ > README.pypi.md

The first address shows files as pages, the second gives the files themselves, for images.
"""

import re
import sys
from pathlib import Path

RELATIVE = re.compile(r"(!?)(\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?!https?:|#|mailto:)([^)\s]+\))")


def absolute(text, pages, files):
    """The text with every link to a file beside it under one of the two addresses."""

    def under(link):
        image, text, target = link.groups()
        return f"{image}{text}{files if image else pages}{target}"

    return RELATIVE.sub(under, text)


if __name__ == "__main__":
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    print(absolute(readme, *sys.argv[1:3]), end="")
