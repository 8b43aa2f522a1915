"""Records that are small enough to be kept with the code: what a trial changed nothing about is left out.

The first lines say once each on which machine and with which versions runs were made. A loss has six digits.
"""

import json
from pathlib import Path
from typing import Any

from running import key

_ABOUT = ("machine", "versions")


def pack(lines: list[dict[str, Any]]) -> str:
    """Return lines of a record as a text of JSON lines; of two of the same run and length the later counts."""
    last = {(*key(line), len(line.get("reached", ()))): line for line in lines}
    known: list[dict[str, Any]] = []
    found = []
    for line in sorted(
        last.values(), key=lambda line: [str(each) for each in key(line)] + [len(line.get("reached", ()))]
    ):
        about = {name: line[name] for name in _ABOUT if name in line}
        if about not in known:
            known.append(about)
        found.append(
            {"about": known.index(about), **_packed({name: line[name] for name in line if name not in _ABOUT})}
        )
    return "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in [*known, *found])


def _packed(line: dict[str, Any]) -> dict[str, Any]:
    if "reached" not in line:
        return line
    reached = [_rounded(each) for each in line["reached"]]
    steps = [[at, each] for at, each in enumerate(reached) if at == 0 or each != reached[at - 1]]
    packed = {
        **line,
        "length": len(reached),
        "steps": steps,
        "seconds": _rounded(line["seconds"]),
        "ended": round(line["ended"]),
    }
    if "drawn" in line:
        packed["drawn"] = [_rounded(each) for each in line["drawn"]]
    del packed["reached"]
    return packed


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else float(f"{loss:.6g}")


def unpack(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a packed record; none where there is none."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    known = [row for row in rows if "about" not in row]
    return [_unpacked({**known[row["about"]], **row}) for row in rows if "about" in row]


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    line = {name: value for name, value in row.items() if name not in ("about", "length", "steps")}
    if "steps" in row:
        ends = [at for at, _ in row["steps"][1:]] + [row["length"]]
        line["reached"] = [each for (at, each), end in zip(row["steps"], ends, strict=True) for _ in range(end - at)]
    return line
