"""Hear what a program logs by wandb, MLflow or TensorBoard in its own process, and report it as the trial's.

The processes of a trial with such sources have the folder ``start`` first in PYTHONPATH, so that Python loads its
``sitecustomize`` at the start; that calls `begin`. It wraps the functions by which the libraries take metrics, when they are
imported: they do all they did before. This needs no server, no account and no file of theirs, hears a metric at once, and
leaves the program as it is. Only TensorFlow writes event files by code that is not Python's: these are read.
"""

# ruff: noqa: PTH100, PTH110, PTH111, PTH118, PTH120  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some programs need is imported when they need it

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "CLOUDTUNE_HEARD"
"""The environment variable with the sources of metrics by their names, as JSON."""

_NAME = "_cloudtune_hearing"  # of what is loaded once in a process, by whatever name this package is imported


def variables(sources: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variable that says what is heard; none for no sources.

    Args:
        sources: ``wandb``, ``mlflow`` or ``tensorboard`` by the name of the metric.
    """
    return {VARIABLE: json.dumps(dict(sources), sort_keys=True)} if sources else {}


def hearing(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a trial's processes, in which Python loads what hears where a variable says so."""
    found = dict(environment)
    if found.get(VARIABLE):
        own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start")
        others = [part for part in found.get("PYTHONPATH", "").split(os.pathsep) if part and part != own]
        found["PYTHONPATH"] = os.pathsep.join([own, *others])
    return found


def begin() -> None:
    """Begin to hear in this process what the environment names; once, and nothing where it names nothing."""
    if _NAME in sys.modules or not os.environ.get(VARIABLE):
        return
    from .libraries import wrap_when_imported
    from .metrics import Hearing

    sources: dict[str, str] = json.loads(os.environ[VARIABLE])
    heard = Hearing(sources)
    sys.modules[_NAME] = heard  # type: ignore[assignment]  # found by `call_function`, also under another name of this package
    for library in sorted(set(sources.values())):
        _leave_no_account_to_ask_for(library)
        wrap_when_imported(library, heard)
    import atexit

    atexit.register(heard.finish)


def _leave_no_account_to_ask_for(library: str) -> None:
    """Let a library work without a server where the user has told it of none."""
    output = os.environ.get("CLOUDTUNE_OUTPUT_DIR", "")
    own = os.environ
    if library == "wandb" and not {"WANDB_MODE", "WANDB_API_KEY", "WANDB_DISABLED"} & own.keys() and not _logged_in():
        own["WANDB_MODE"] = "offline"
        if output:
            own.setdefault("WANDB_DIR", output)
    kept = os.path.exists("mlflow.db") or os.path.exists("mlruns")
    if library == "mlflow" and output and "MLFLOW_TRACKING_URI" not in own and not kept:
        # Its default is one database in the working folder, which trials that start together would create together.
        own["MLFLOW_TRACKING_URI"] = "sqlite:///" + os.path.join(os.path.abspath(output), "mlflow.db")


def _logged_in() -> bool:
    """Return whether the user has logged in to W&B: its key is in the file netrc."""
    path = os.environ.get("NETRC") or os.path.join(os.path.expanduser("~"), ".netrc")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return "wandb" in file.read()
    except OSError:
        return False
