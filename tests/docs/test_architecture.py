"""CONTRIBUTING's page of architecture is true: the picture has the rooms in the order of the layers, the way of one job leads through files that are there."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_picture_shows_every_room_in_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    depth = {room: number for number, layer in enumerate(layers) for room in layer.split(" | ") if room != "__main__"}
    picture = PAGE.partition("```mermaid")[2].partition("```")[0]
    shown = [room for node in re.findall(r'\["(.*?)<br/>', picture) for room in node.split(" · ")]
    shown.remove("providers/cloudtune_*")
    assert sorted(shown) == sorted(depth)
    assert [depth[room] for room in shown] == sorted(depth.values())


def test_the_way_of_one_job_leads_through_at_most_fifteen_files_that_are_there() -> None:
    table = PAGE.partition("### The way of one job")[2].partition("Every door")[0]
    rows = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("| ") and "`" in line]
    for way in range(2):
        files: list[Path] = []
        for row in rows:
            cell = rows[rows.index(row)][0] if "the same" in row[way] else row[way]
            for name in re.findall(r"`(.+?)`", cell):
                here = [ROOT / name, ROOT / "cloudtune" / name, *([files[-1].parent / name] if files else [])]
                files.append(next(path for path in here if path.is_file()))
        assert 10 <= len(files) <= 15, files


def test_no_file_has_more_than_five_hundred_lines() -> None:
    rooms = [
        path
        for name in ("cloudtune", "providers", "tests", "benchmarks", "examples", "docs")
        for path in (ROOT / name).rglob("*.py")
    ]
    long = {str(path.relative_to(ROOT)): lines for path in rooms if (lines := path.read_bytes().count(b"\n")) > 500}
    assert not long, "give one of its subjects a file of its own"
