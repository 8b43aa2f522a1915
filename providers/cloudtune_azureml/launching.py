"""From a plan to what is sent: the code's folder, places of data, secrets put in, and the call that makes the job."""

import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.package import view_of
from cloudtune.bundle.source import copy_source
from cloudtune.bundle.upload import ASSETS
from cloudtune.store.secrets import kept_environment
from cloudtune.trial import SOURCE_FILE
from cloudtune_azureml.client import Azure
from cloudtune_azureml.names import run_name
from cloudtune_azureml.workload import CODE, with_values

if TYPE_CHECKING:
    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

RUN_TAG = "cloudtune_run"
"""The tag by which the jobs of a driven run are found."""


def final_request(run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """The plan's job with what only the start knows: the folder of the code, and whole paths."""
    base = Path(run.record().native["base"])
    request: dict[str, Any] = dict(plan.request)
    if job.trial.environment:
        request = with_values(request, kept_environment(run))
    part = dict(request.get("trial") or request)
    if part.get("code") == CODE:
        part["code"] = str(_unpacked(run))
    elif isinstance(part.get("code"), str) and (base / part["code"]).is_dir():
        part["code"] = str(_copied(run, job, part["code"]))
    request = {**request, "trial": part} if "trial" in request else part
    inputs = {
        name: _with_path(given, base, run.folder / f"input-{name.encode().hex()}")
        for name, given in (request.get("inputs") or {}).items()
    }
    return {**request, **({"inputs": inputs} if inputs else {})}


def with_code_in(folder: Path, name: str, request: dict[str, Any], own: Path) -> dict[str, Any]:
    """A job's file whose code lies beside it, from where Azure's own tools upload it.

    Args:
        folder: of the file.
        name: of the code's folder in it, which is made anew.
        request: whose code is somewhere else on this machine.
        own: the run's folder, which does not last.
    """
    part = dict(request.get("trial") or request)
    if Path(str(part.get("code", ""))).is_absolute():
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(part["code"], folder / name)
        part["code"] = f"./{name}"
    request = {**request, "trial": part} if "trial" in request else part
    inputs = {key: _beside(folder, f"{name}-{key}", given, own) for key, given in (request.get("inputs") or {}).items()}
    return {**request, **({"inputs": inputs} if inputs else {})}


def _beside(folder: Path, name: str, given: Any, own: Path) -> Any:
    """An input that is one of the run's own views, copied beside the file: the run's folder does not last."""
    path = Path(str(given.get("path"))) if isinstance(given, dict) else Path()
    if not path.is_relative_to(own):
        return given
    shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(path, folder / name)
    return {**given, "path": f"./{name}"}


def _with_path(given: Any, base: Path, view: Path) -> Any:
    """An input whose path is whole, where it lies on this machine; the SDK, which uploads it, has another rule of files.

    Args:
        given: the input.
        base: what its path is relative to.
        view: the folder for links to what travels, where that is not all of it.
    """
    if not isinstance(given, dict) or ":" in (given.get("path") or ":"):
        return given
    place = base / given["path"]
    return {**given, "path": str((view_of(place, view) if place.exists() else place).absolute())}


def _copied(run: "RunStore", job: "TuningJob", code: str) -> Path:
    """The folder of code that starts in its own way, as far as it travels."""
    folder = run.folder / "code"
    if not folder.is_dir():
        own = job.model_copy(update={"trial": job.trial.model_copy(update={"source": code})})
        copy_source(own, Path(run.record().native["base"]), run.folder / "code.new")
        (run.folder / "code.new").rename(folder)
    return folder


def _unpacked(run: "RunStore") -> Path:
    """The folder of the code and the helper, which the SDK uploads: what is ignored was left out when it was packed."""
    folder = run.folder / "code"
    if not folder.is_dir():
        packed = run.folder / ASSETS / SOURCE_FILE
        fresh = run.folder / "code.new"
        with tarfile.open(packed) as archive:
            archive.extractall(fresh, filter="data")
        (fresh / ".amlignore").touch()  # else a .gitignore would leave the helper's own files behind
        fresh.rename(folder)
    return folder


def create_sweep(azure: Azure, run: "RunStore", job: "TuningJob", plan: "Plan") -> str:
    """Makes the run's sweep job and returns its name, also if an earlier call made it.

    Raises:
        ProviderError: Azure refused it, or cannot be reached.
    """
    request = final_request(run, job, plan)
    name = str(request.get("name") or run_name(job.name, run.id))
    native = run.record().native
    run.write(columns={"native": {**native, "creating": "yes"}})
    azure.create(name, request, Path(native["base"]), look_first="creating" in native)
    run.write(columns={"native": {**native, "job": name}})
    return name
