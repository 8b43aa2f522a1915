"""Files on their way to Azure Machine Learning and back: code and data that a job names, and what trials leave."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.package import view_of
from cloudtune.bundle.source import copy_source
from cloudtune.bundle.upload import ASSETS
from cloudtune.driver.outputs import RunBrief, TrialOutputs
from cloudtune.errors import TrialError
from cloudtune.planning.translation import with_environment
from cloudtune.store.secrets import kept_environment
from cloudtune.trial.container import SOURCE_FILE
from cloudtune_azureml.client import Azure, patiently, quiet
from cloudtune_azureml.logs import lines_of
from cloudtune_azureml.workload import CODE, OUTPUT, VARIABLES

if TYPE_CHECKING:
    from cloudtune.driver.interrupt import Condition
    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import Trial
    from cloudtune.store.store import RunStore


def final_request(run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """Return the plan's job with what only the start knows: the folder of the code, and whole paths."""
    base = Path(run.record().native["base"])
    request: dict[str, Any] = dict(plan.request)
    if job.trial.environment:
        request = with_environment(request, kept_environment(run), VARIABLES)
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
    """Return a job's file whose code lies beside it, from where Azure's own tools upload it.

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
    """Return an input that is one of the run's own views, copied beside the file: the run's folder does not last."""
    path = Path(str(given.get("path"))) if isinstance(given, dict) else Path()
    if not path.is_relative_to(own):
        return given
    shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(path, folder / name)
    return {**given, "path": f"./{name}"}


def _with_path(given: Any, base: Path, view: Path) -> Any:
    """Return an input whose path is whole, where it lies on this machine; the SDK, which uploads it, has another rule of files.

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
    """Return the folder of code that starts in its own way, as far as it travels."""
    folder = run.folder / "code"
    if not folder.is_dir():
        own = job.model_copy(update={"trial": job.trial.model_copy(update={"source": code})})
        copy_source(own, Path(run.record().native["base"]), run.folder / "code.new")
        (run.folder / "code.new").rename(folder)
    return folder


def _unpacked(run: "RunStore") -> Path:
    """Return the folder of the code and the helper, which the SDK uploads: what is ignored was left out when it was packed."""
    folder = run.folder / "code"
    if not folder.is_dir():
        packed = run.folder / ASSETS / SOURCE_FILE
        fresh = run.folder / "code.new"
        with tarfile.open(packed) as archive:
            archive.extractall(fresh, filter="data")
        (fresh / ".amlignore").touch()  # else a .gitignore would leave the helper's own files behind
        fresh.rename(folder)
    return folder


# What trials leave


class JobOutputs(TrialOutputs):
    """What jobs printed and left; `Trial.place` is the job's name. It has `azure` and `brief`."""

    azure: Azure
    brief: RunBrief

    def lines(self, trial: "Trial", over: "Condition") -> Iterator[str]:
        return lines_of(self.azure, trial.place, over, self.brief.soon)

    def files(self, trial: "Trial", target: Path) -> list[Path]:
        return download(self.azure, trial.place, target)


def download(azure: Azure, name: str, target: Path) -> list[Path]:
    """Download a trial's output folder by Azure Machine Learning's SDK.

    Args:
        azure: the clients.
        name: the job's.
        target: a folder; made if it is not there.

    Returns:
        The files, below the target.

    Raises:
        TrialError: it left none.
    """
    if azure.job(name) is None:
        raise TrialError(f"{name} was never made")
    with tempfile.TemporaryDirectory() as temporary:
        with quiet():
            patiently(
                f"downloading from {name}",
                lambda: azure.ml.jobs.download(name, download_path=temporary, output_name=OUTPUT),
            )
        folder = Path(temporary, "named-outputs", OUTPUT)
        if not folder.is_dir() or not any(folder.rglob("*")):
            raise TrialError(f"{name} left no files")
        shutil.copytree(folder, target, dirs_exist_ok=True)
    return [path for path in sorted(target.rglob("*")) if path.is_file()]
