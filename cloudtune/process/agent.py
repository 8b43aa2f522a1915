"""Answer a driver's calls about attempts on this machine: ``python -m cloudtune.process.agent``, in the run's folder.

Reads a list of calls from standard input and prints a list of answers, both as JSON; see `call`. Imports the standard
library alone.
"""

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.process.attempts import begin, begun, news_of, refuse, stop_adopted
from cloudtune.process.keeper_client import trial_environment
from cloudtune.process.leases import SUPPORTED, Lease, lease, resources_here
from cloudtune.process.needs import Needs, thread_limits
from cloudtune.process.setting import TrialFiles
from cloudtune.trial.hearing import hearing


def call(root: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Begin or signal one attempt as requested, and return its news.

    Args:
        root: the run's folder on this machine.
        request: ``number`` of the trial, ``attempt``, ``log_size``; ``known`` bytes of the log and of the reports; the
            number of a ``signal`` to send, or 0; what to ``begin``, or null: the ``run``'s id, ``argv`` (an empty word
            stands for the interpreter), ``parameters``, ``environment``, ``data`` (places below the root by variable),
            ``seconds`` and ``grace``, ``needs`` (the fields of `Needs`), the ``kind`` of its GPUs, and which ``gpus`` it
            may have (see `resources_here`).

    Returns:
        What `news_of` returns, with bytes decoded as latin-1, and ``left``: which of the folders ``checkpoint`` and
        ``output`` hold anything. ``waiting`` alone if it was not begun because what it needs is not free.

    Raises:
        OSError: the attempt's files cannot be written or read, or it cannot be started.
    """
    number, order = request["number"], request["begin"]
    files = TrialFiles(f"{root}/{place_of(number)}", request["attempt"], log_size=request["log_size"])
    if order is not None and not begun(files) and not _begin(root, files, number, order):
        return {"waiting": True}
    if request["signal"]:
        stop_adopted(files, request["signal"])
    left = [name for name in ("checkpoint", "output") if any(Path(files.folder, name).glob("*"))]
    found = {**news_of(files, *request["known"]), "left": left}
    return {name: part.decode("latin-1") if isinstance(part, bytes) else part for name, part in found.items()}


def place_of(number: int) -> str:
    """Return a trial's folder, below the run's."""
    return f"trials/{number:05d}"


def _begin(root: Path, files: TrialFiles, number: int, order: Mapping[str, Any]) -> bool:
    """Begin an attempt, unless what it needs of this machine is not free; return whether it was."""
    shared = trial_environment(os.environ, order["run"], root, None)
    data = {variable: str(root / place) for variable, place in order["data"].items()}
    environment = hearing({**shared, **data, **order["environment"]})
    needs = Needs(**order["needs"])
    try:
        held = _lease(needs, order, environment)
    except ValueError as error:
        refuse(files, str(error))
        return True
    if held is None and needs and SUPPORTED:
        return False
    with contextlib.nullcontext() if held is None else contextlib.closing(held):
        begin(
            files,
            number,
            [order["argv"][0] or sys.executable, *order["argv"][1:]],
            parameters=order["parameters"],
            environment={**environment, **thread_limits(needs, environment)},
            folder=root / "source",
            seconds=order["seconds"],
            grace=order["grace"],
            lease=held,
        )
    return True


def _lease(needs: Needs, order: Mapping[str, Any], environment: Mapping[str, str]) -> Lease | None:
    if not (needs and SUPPORTED):
        return None
    return lease(resources_here(needs, order["kind"], order["gpus"], environment), needs)


if __name__ == "__main__":
    print(json.dumps([call(Path.cwd(), request) for request in json.load(sys.stdin)]))
