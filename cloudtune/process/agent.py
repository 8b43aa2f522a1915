"""Answer a driver's calls about attempts on this machine: ``python -m cloudtune.process.agent``, in the run's folder.

Reads a list of calls from standard input and prints a list of answers, both as JSON; see `call`. Imports the standard
library alone.
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


def call(root: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Begin or signal one attempt as requested, and return its news.

    Args:
        root: the run's folder on this machine.
        request: ``number`` of the trial, ``attempt``, ``log_size``; ``known`` bytes of the log and of the reports; the
            number of a ``signal`` to send, or 0; what to ``begin``, or null: the ``run``'s id, ``argv`` (an empty word
            stands for the interpreter), ``parameters``, ``environment``, ``data`` (places below the root by variable),
            ``seconds`` and ``grace``.

    Returns:
        What `news_of` returns, with bytes decoded as latin-1, and ``left``: which of the folders ``checkpoint`` and
        ``output`` hold anything.

    Raises:
        OSError: the attempt's files cannot be written or read, or it cannot be started.
    """
    files = TrialFiles(f"{root}/{place_of(request['number'])}", request["attempt"], log_size=request["log_size"])
    if request["begin"] is not None:
        _begin(root, files, request["number"], request["begin"])
    if request["signal"]:
        stop_adopted(files, request["signal"])
    left = [name for name in ("checkpoint", "output") if any(Path(files.folder, name).glob("*"))]
    found = {**news_of(files, *request["known"]), "left": left}
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
    print(json.dumps([call(Path.cwd(), request) for request in json.load(sys.stdin)]))
