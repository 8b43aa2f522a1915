"""Files on their way to a workspace and back: what travels with a run, what trials print and leave."""

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.shipment import Upload
from cloudtune.bundle.upload import filled, staged
from cloudtune.store.secrets import kept_environment
from cloudtune_databricks import task
from cloudtune_databricks.client import Workspace
from cloudtune_databricks.names import run_name
from cloudtune_databricks.request import PROVIDER
from cloudtune_databricks.words import path_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

_PIECE = re.compile(r"(\d+)\.txt")
_MARKER = re.compile(r"(\d+-\d+)\.(\d+)")


def final_request(workspace: Workspace, run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """Return the plan's request without anything left open, after what it names was put there.

    Raises:
        ProviderError: the workspace refused, or cannot be reached.
    """
    name = run_name(job.name, run.id)
    request = filled(plan.request, {"run": name}.get)
    if "${program}" not in json.dumps(request):
        return dict(request)
    program = _program(workspace)
    request = filled(request, {"program": program}.get)
    environment = option(request, "environment")
    if environment is not None:
        put_text(workspace, path_of(environment), json.dumps(kept_environment(run)))

    def put(place: str, files: Sequence[Upload]) -> None:
        _upload(workspace, path_of(place), files)

    return staged(request, run, job, provider=PROVIDER, bucket=lambda: "", upload=put)


def option(request: "Mapping[str, Any]", name: str) -> str | None:
    """Return an option of the words that a request gives the program; None where there is none."""
    for each in request.get("tasks") or ():
        words = (each.get("spark_python_task") or {}).get("parameters") or ()
        found = next((word for word in words if word.startswith(f"--{name}=")), None)
        if found is not None:
            return str(found.partition("=")[2])
    return None


def _program(workspace: Workspace) -> str:
    """Put the Python file of tasks into the workspace, where there is none of its content; return its path."""
    content = Path(str(task.__file__)).read_bytes()
    folder = workspace.settings.folder or f"/Workspace/Users/{workspace.me()}/.cloudtune"
    path = f"{folder.rstrip('/')}/trial-{hashlib.sha256(content).hexdigest()[:16]}.py"
    workspace.import_file(path, base64.b64encode(content).decode())
    return path


def put_text(workspace: Workspace, path: str, text: str) -> None:
    """Write a file of a volume."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "text")
        file.touch(mode=0o600)
        file.write_text(text)
        workspace.put(path, file)


def _upload(workspace: Workspace, folder: str, files: Sequence[Upload]) -> None:
    """Put files below a folder that is called by their hash, but for those that are there in full."""
    there = {each["path"]: each.get("file_size") for each in _walk(workspace, folder)}
    for file in files:
        path = f"{folder}/{file.key}"
        if there.get(path) != file.source.stat().st_size:
            workspace.put(path, file.source)


def _walk(workspace: Workspace, folder: str) -> Iterator["Mapping[str, Any]"]:
    """Yield the files below a folder of a volume."""
    for each in workspace.entries(folder):
        if each.get("is_directory"):
            yield from _walk(workspace, each["path"])
        else:
            yield each


def clear(workspace: Workspace, run: "RunStore", job: "TuningJob", plan: "Plan") -> None:
    """Remove what a run that has ended needs no more: the values of its environment, and markers of what was printed.

    Raises:
        ProviderError: the workspace refused, or cannot be reached.
    """
    request = filled(plan.request, {"run": run_name(job.name, run.id)}.get)
    environment, files = option(request, "environment"), option(request, "files")
    if environment is not None:
        workspace.remove(path_of(environment))
    for each in () if files is None else workspace.entries(f"{path_of(files)}/heard"):
        workspace.remove(each["path"])


# What trials print


class Printed:
    """The pieces of output that the trials of a run have handed over.

    Args:
        workspace: where they are.
        files: the run's folder on the volume.
    """

    def __init__(self, workspace: Workspace, files: str) -> None:
        self._workspace, self._files = workspace, files

    def counts(self) -> dict[str, int]:
        """Return how many pieces there are of each attempt with any, by ``NUMBER-ATTEMPT``; one call for all."""
        found: dict[str, int] = {}
        for each in self._workspace.entries(f"{self._files}/heard"):
            marker = _MARKER.fullmatch(str(each["path"]).rpartition("/")[2])
            if marker is not None:
                found[marker[1]] = max(found.get(marker[1], 0), int(marker[2]))
        return found

    def forget(self, name: str, count: int) -> None:
        """Remove the marker of an attempt whose pieces have all been read."""
        self._workspace.remove(f"{self._files}/heard/{name}.{count}")

    def count(self, name: str) -> int:
        """Return how many pieces there are of an attempt, marked or not."""
        pieces = (
            _PIECE.fullmatch(str(each["path"]).rpartition("/")[2])
            for each in self._workspace.entries(f"{self._files}/printed/{name}")
        )
        return max((int(piece[1]) for piece in pieces if piece is not None), default=0)

    def piece(self, name: str, number: int) -> list[tuple[float, str]]:
        """Return the lines of a piece, from 1, each with its time in seconds since 1970."""
        content = self._workspace.get(f"{self._files}/printed/{name}/{number:06d}.txt")
        lines = content.decode("utf-8", "replace").split("\n")[:-1]
        return [(float(moment), text) for moment, _, text in (line.partition(" ") for line in lines)]


# What trials leave


def download(workspace: Workspace, folder: str, target: Path) -> list[Path]:
    """Copy the files below a folder of a volume; return the copies.

    Raises:
        TrialError: there are none.
    """
    from cloudtune.driver.outputs import saved  # noqa: PLC0415  # few commands fetch

    names = [str(each["path"]).removeprefix(f"{folder}/") for each in _walk(workspace, folder)]
    return saved(names, lambda name: workspace.get(f"{folder}/{name}"), target)
