"""What Kiln gives a trial, and what it expects there. It travels with the trial: the standard library, and Python 3.8."""

from __future__ import annotations

import json
import os
import sys


class Container:
    """The container contract of Kiln: knobs in a variable, the store as a folder, points in a file."""

    def parameters(self) -> dict[str, object]:
        return dict(json.loads(os.environ["KILN_KNOBS"]))

    def environment(self) -> dict[str, str]:
        return {"CLOUDTUNE_TRIAL": os.environ["KILN_TRIAL"], "CLOUDTUNE_OUTPUT_DIR": os.environ["KILN_OUT"]}

    def data(self, name: str, variable: str) -> str:
        return os.environ[variable].replace("kiln:/", os.environ["KILN_STORE"], 1)

    def sink(self) -> object:
        return report

    def fail(self, reason: str) -> None:
        print(reason, file=sys.stderr, flush=True)


def report(step: int, moment: float, metrics: dict[str, float]) -> None:
    """Add a point of a trial's curve."""
    with open(os.environ["KILN_POINTS"], "a", encoding="utf-8") as file:  # noqa: PTH123  # quicker than pathlib
        file.write(json.dumps({"step": step, "at": moment, "values": metrics}) + "\n")
