"""What Vertex AI gives a trial in its container, and what it expects there.

It travels with the trial helper (see `cloudtune.trial.container`): the standard library alone, and Python 3.8 or newer.
"""

# ruff: noqa: PTH103, PTH110, PTH120, PTH123, PTH202  # pathlib would double the time that importing this file takes
# what only some trials need is imported when they need it

from __future__ import annotations

import json
import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Sink = Callable[[int, float, dict[str, float]], None]


class Container:
    """What Vertex AI gives a trial: arguments, buckets as folders below ``/gcs``, and a file for metrics.

    https://cloud.google.com/vertex-ai/docs/training/code-requirements
    """

    def __init__(self) -> None:
        self.root = os.environ.get("CLOUDTUNE_GCS", "/gcs")

    def parameters(self) -> dict[str, str]:
        """Return the arguments by the service's names."""
        words = [word[2:].partition("=") for word in sys.argv[1:] if word.startswith("--")]
        return {name: text for name, equals, text in words if equals}

    def environment(self) -> dict[str, str]:
        """Return the variables by which `cloudtune.trial` finds its way in the processes of the trial."""
        trial_id = os.environ.get("CLOUD_ML_TRIAL_ID", "")  # counts from 1
        found = {
            "CLOUDTUNE_TRIAL": os.environ.get("CLOUDTUNE_TRIAL") or str(int(trial_id) - 1 if trial_id.isdigit() else 0),
            "CLOUDTUNE_RANK": str(self._rank()),
        }
        for variable, given in (("OUTPUT", "AIP_MODEL_DIR"), ("CHECKPOINT", "AIP_CHECKPOINT_DIR")):
            if os.environ.get(given):
                found[f"CLOUDTUNE_{variable}_DIR"] = self.path(os.environ[given])
        parent = os.environ.get("CLOUDTUNE_PARENT_CHECKPOINT")
        if parent:
            found["CLOUDTUNE_PARENT_CHECKPOINT_DIR"] = self.path(parent)
        return found

    def _rank(self) -> int:
        """Return which of the trial's machines this is: the first pool's comes first."""
        try:
            cluster = json.loads(os.environ["CLUSTER_SPEC"])
            task, pools = cluster["task"], sorted(cluster["cluster"])
            before = pools[: pools.index(task["type"])]
            rank: int = sum(len(cluster["cluster"][pool]) for pool in before) + int(task["index"])
        except (ValueError, KeyError):
            return 0  # one machine, or a test
        return rank

    def path(self, place: str) -> str:
        """Return a place in Cloud Storage, ``gs://bucket/name``, as the file or folder that the service shows."""
        return place.replace("gs:/", self.root, 1) if place.startswith("gs://") else place

    def data(self, name: str, variable: str) -> str:  # noqa: ARG002  # the variable holds its place
        """Return the folder or file of an input."""
        return self.path(os.environ.get(variable, ""))

    def sink(self) -> Sink | None:
        """Return what writes reports into the file that the service reads; None on all machines but the first."""
        place = os.environ.get("CLOUD_ML_HP_METRIC_FILE")
        if not place or self._rank():
            return None
        return _hypertune_sink(place.replace("/gcs/", self.root + "/", 1) if place.startswith("/gcs/") else place)

    def fail(self, reason: str) -> None:
        """Print why the trial failed; the service has no other place for it than the output."""
        print(reason, file=sys.stderr, flush=True)


def metric_id(name: str) -> str:
    """Return a metric's name as Vertex AI takes it: without white space."""
    return re.sub(r"\s+", "_", name)


def _hypertune_sink(path: str) -> Sink:
    """Return a sink that adds each report to a file as the package cloudml-hypertune writes it: a line of JSON a metric.

    A program that reports by that package itself writes the file anew: it is left to it then.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    size = os.path.getsize(path) if os.path.exists(path) else 0

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        nonlocal size
        if os.path.exists(path) and os.path.getsize(path) != size:
            return
        with open(path, "a", encoding="utf-8") as file:
            for name, value in metrics.items():
                line = {"timestamp": moment, "trial": os.environ.get("CLOUD_ML_TRIAL_ID", "0")}
                told = {metric_id(name): str(value), "global_step": str(step), "checkpoint_path": ""}
                file.write(json.dumps({**line, **told}) + "\n")
        size = os.path.getsize(path)

    return sink
