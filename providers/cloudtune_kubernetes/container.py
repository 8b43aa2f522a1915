"""What a Kubernetes cluster gives a trial in its container, and what it expects there.

It travels with the trial helper (see `cloudtune.trial.container`): the standard library alone, and Python 3.8 or newer.
"""

# ruff: noqa: PTH103, PTH110, PTH112, PTH118, PTH120, PTH123, PTH208  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import os
from signal import SIGTERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Sink = Callable[[int, float, dict[str, float]], None]

PARTS = "data.tar.gz."
"""How the names of the files begin that an input travels in."""

_LONGEST = 4096
"""Bytes of a container's last message that the cluster keeps (terminationMessagePath)."""


class Container:
    """What a Job of cloudtune's gives its pods: variables, volumes, a log that the driver reads, and a file that Katib reads."""

    def __init__(self) -> None:
        self.enough = False

    def parameters(self) -> dict[str, Any]:
        """Return the values by their names in the codec."""
        found: dict[str, Any] = json.loads(os.environ["CLOUDTUNE_VALUES"])
        return found

    def environment(self) -> dict[str, str]:
        """Return the variables by which `cloudtune.trial` finds its way in the processes of the trial."""
        place = os.environ.get("CLOUDTUNE_PLACE")  # of Katib's trials, which have a name and no number
        root, own = os.environ["CLOUDTUNE_FILES"], place or os.environ["CLOUDTUNE_TRIAL"]
        parent = os.environ.get("CLOUDTUNE_PARENT")
        return {
            "CLOUDTUNE_RANK": os.environ.get("RANK", "0"),
            "CLOUDTUNE_OUTPUT_DIR": os.path.join(root, own, "output"),
            "CLOUDTUNE_CHECKPOINT_DIR": os.environ.get("CLOUDTUNE_CHECKPOINT") or os.path.join(root, own, "checkpoint"),
            **({"CLOUDTUNE_SEED": _seed(place)} if place else {}),
            **({"CLOUDTUNE_PARENT_CHECKPOINT_DIR": os.path.join(root, parent, "checkpoint")} if parent else {}),
        }

    def data(self, name: str, variable: str) -> str:  # noqa: ARG002  # the variable holds its place
        """Return the folder or file of an input; one that travelled in parts is unpacked first."""
        place = os.environ.get(variable, "")
        parts = sorted(each for each in os.listdir(place) if each.startswith(PARTS)) if os.path.isdir(place) else []
        return _unpacked([os.path.join(place, part) for part in parts], variable) if parts else place

    def sink(self) -> Sink | None:
        """Return what writes reports where Katib's collector reads them; None where the driver reads the output itself."""
        place, steps = os.environ.get("CLOUDTUNE_METRICS"), int(os.environ.get("CLOUDTUNE_STEPS", "0"))
        if not place or os.environ.get("RANK", "0") != "0":
            return None
        return self._bounded(_katib_sink(place), steps) if steps else _katib_sink(place)

    def _bounded(self, sink: Sink, steps: int) -> Sink:
        """Return a sink that ends the program, by the helper, when it has reported so many steps."""
        first: list[int] = []

        def bounded(step: int, moment: float, metrics: dict[str, float]) -> None:
            sink(step, moment, metrics)
            first.append(step)
            if step - first[0] + 1 >= steps and not self.enough:
                self.enough = True
                os.kill(os.getpid(), SIGTERM)

        return bounded

    def fail(self, reason: str) -> None:
        """Tell the cluster why the trial failed, in the last message of its container."""
        path = os.environ.get("CLOUDTUNE_LAST_MESSAGE", "/dev/termination-log")
        if os.path.exists(path):  # the cluster has made it
            with open(path, "w", encoding="utf-8") as file:
                file.write(reason.encode()[:_LONGEST].decode("utf-8", "ignore"))


def _seed(place: str) -> str:
    """Return a seed made of a trial's name, which is drawn by chance."""
    import zlib

    return str(zlib.crc32(place.encode()) >> 1)


def _katib_sink(path: str) -> Sink:
    """Return a sink that adds a line of JSON for each report, whose values are texts, as Katib's file collector reads it.

    What is no finite number is left out: Katib would take it for the best. The file is there at once, as the collector waits for it.
    Times are texts: of a number, the collector takes the digits behind the point for so many nanoseconds, and the last of two
    reports within a second may be the first one to it.
    """
    from datetime import datetime, timezone
    from math import isfinite

    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "a", encoding="utf-8").close()

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        finite = {name: repr(value) for name, value in metrics.items() if isfinite(value)}
        if finite:
            at = datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: UP017  # Python 3.8
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"timestamp": at, "global_step": str(step), **finite}) + "\n")

    return sink


def _unpacked(parts: list[str], name: str) -> str:
    """Unpack an input into a folder of its own, beside the trial's other files; return that."""
    import tarfile
    import tempfile

    folder = os.path.join(os.path.dirname(os.environ["CLOUDTUNE_PARAMETERS"]), name)
    with tempfile.TemporaryFile() as whole:
        for part in parts:
            with open(part, "rb") as file:
                whole.write(file.read())
        whole.seek(0)
        with tarfile.open(fileobj=whole) as packed:
            packed.extractall(folder)  # noqa: S202  # cloudtune packed it
    return folder
