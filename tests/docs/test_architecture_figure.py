"""The picture of docs/architecture.md: made by its script, with every package, and legible."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from scripts.architecture_figure import FIGURE, layers, picture

ROOT = Path(__file__).parents[2]


def test_the_picture_is_that_of_the_script(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts" / "architecture_figure.py", tmp_path / "drawn.svg"], check=True)
    assert (tmp_path / "drawn.svg").read_bytes() == FIGURE.read_bytes()


def test_every_package_is_in_the_picture():
    packages = {folder.parent.name for folder in (ROOT / "survlstm").glob("*/__init__.py")}
    assert {package for layer in layers() for package in layer} == packages
    shown = [text.text for text in ElementTree.fromstring(picture()).iter("{http://www.w3.org/2000/svg}text")]
    assert packages <= set(shown)
