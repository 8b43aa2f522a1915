"""Distributions that were never built: folders that tell of packages and their entry points."""

import os
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(place: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]) -> None:
    """Make a distribution in a folder that modules are imported from.

    Args:
        place: the folder.
        name: of the distribution.
        entry_points: what each name of each group refers to.
        modules: source texts by module name.
    """
    about = place / f"{name.replace('-', '_')}-1.dist-info"  # as pip writes it: by it, Python tells distributions apart
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in modules.items():
        (place / f"{module}.py").write_text(textwrap.dedent(text))
    os.utime(place, (1, 1))  # the clocks of file systems tick slowly: say that something came


def install_project(place: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the distribution of a project for one test, as an editable install does: its ``pyproject.toml`` says what it is.

    Args:
        place: an empty folder for what is told of it.
        project: the folder of its ``pyproject.toml`` and its packages.
        monkeypatch: of the test.
    """
    told = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    about = place / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
    about.mkdir(parents=True)
    extras = told.get("optional-dependencies", {})
    lines = [f"Name: {told['name']}", f"Version: {told['version']}", *(f"Provides-Extra: {each}" for each in extras)]
    lines += [f"Requires-Dist: {each}" for each in told.get("dependencies", [])]
    lines += [f'Requires-Dist: {each}; extra == "{extra}"' for extra, needed in extras.items() for each in needed]
    (about / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
    points = [
        line
        for group, named in told["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in named.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join([*points, ""]))
    for folder in (project, place):
        monkeypatch.syspath_prepend(str(folder))
