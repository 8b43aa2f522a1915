"""Distributions that were never built: folders that tell of packages and their entry points."""

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path


def install(place: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]) -> None:
    """Make a distribution in a folder that modules are imported from.

    Args:
        place: the folder.
        name: of the distribution.
        entry_points: what each name of each group refers to.
        modules: source texts by module name.
    """
    about = place / f"{name}-1.dist-info"
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
