"""What runs on another machine for each call of the driver, in the run's folder there: ``python -m cloudtune.process.agent``.

It reads a list of calls and prints a list of answers, both as JSON; see `call`. It needs the standard library alone.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.process.attempts import begin, news_of, stop_adopted
from cloudtune.process.keeper_client import trial_environment
from cloudtune.process.setting import TrialFiles


def call(root: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the driver wants of one attempt, and return what is new of it, with bytes as latin-1.

    That is what `news_of` gives, and ``left``: which of its folders ``checkpoint`` and ``output`` hold anything.

    Args:
        root: the run's folder on this machine.
        said: ``number`` of the trial, ``attempt``, ``log_size``; ``known`` bytes of the log and of the reports; the number
            of a ``signal`` to send, or 0; what to ``begin``, or null: the ``run``'s id, ``argv`` (an empty word stands for the interpreter),
            ``parameters``, ``environment``, ``data`` (places below the root by variable), ``seconds`` and ``grace``.
    """
    files = TrialFiles(f"{root}/{place_of(said['number'])}", said["attempt"], log_size=said["log_size"])
    if said["begin"] is not None:
        _begin(root, files, said["number"], said["begin"])
    if said["signal"]:
        stop_adopted(files, said["signal"])
    left = [name for name in ("checkpoint", "output") if any(Path(files.folder, name).glob("*"))]
    found = {**news_of(files, *said["known"]), "left": left}
    return {name: part.decode("latin-1") if isinstance(part, bytes) else part for name, part in found.items()}


def place_of(number: int) -> str:
    """Return a trial's folder, below the run's."""
    return f"trials/{number:05d}"


def _begin(root: Path, files: TrialFiles, number: int, order: Mapping[str, Any]) -> None:
    shared = trial_environment(os.environ, order["run"], root, None)
    data = {variable: str(root / place) for variable, place in order["data"].items()}
    begin(
        files,
        number,
        [word or sys.executable for word in order["argv"]],
        parameters=order["parameters"],
        environment={**shared, **data, **order["environment"]},
        folder=root / "source",
        seconds=order["seconds"],
        grace=order["grace"],
    )


if __name__ == "__main__":
    print(json.dumps([call(Path.cwd(), said) for said in json.load(sys.stdin)]))
