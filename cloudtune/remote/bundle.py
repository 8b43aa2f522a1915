"""Bundle what a driver job needs: cloudtune, the run with its store, and how to reach the service of its trials."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.driver.listeners import anonymous
from cloudtune.plugins.entry_points import ALIASES, POOLS, PROVIDERS, providers
from cloudtune.plugins.installed import entry_points
from cloudtune.plugins.version import __version__
from cloudtune.remote.journal import copy
from cloudtune.remote.program import MANIFEST, STORES
from cloudtune.spec.job import TuningJob
from cloudtune.spec.places import is_remote, local_path
from cloudtune.store.records import RunState
from cloudtune.store.store import RunStore, Store

if TYPE_CHECKING:
    from cloudtune.provider.interface import Provider

PROGRAM = "cloudtune_driver.py"
"""Name of the program in the bundle; it lies beside the package, since it makes the package importable."""

_STAYS = ("environment.json", "driver", "driver.lock", "driver.log", "parts/*/environment.json", "trials")
"""Files of a run's folder that are not bundled: secrets, which the job gets in its environment, and local state."""


@dataclass(frozen=True, slots=True)
class Target:
    """The provider that the driver job launches trials on.

    Attributes:
        provider: made from the profile, as it is here.
        settings: of the profile, completed from the environment.
        needed: the names of all providers that the driver job loads.
    """

    provider: "Provider"
    settings: Mapping[str, Any]
    needed: tuple[str, ...]


def bundle(run: RunStore, target: Target, folder: Path) -> None:
    """Write the bundle.

    Args:
        run: in its present state.
        target: what the trials run on.
        folder: created anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    points = [providers()[name] for name in target.needed]
    for package in ("cloudtune", *sorted({point.module.partition(".")[0] for point in points})):
        _copy_package(package, folder)
    _write_metadata(folder)
    _write_project(run, target, folder / "project")
    (folder / "project" / ".cloudtune" / ".gitignore").unlink()  # it would exclude the store from the upload
    (folder / "project" / ".cloudtune").rename(folder / STORES)
    shutil.copyfile(Path(__file__).with_name("program.py"), folder / PROGRAM)
    job = TuningJob.from_data(json.loads(run.record().job))
    manifest = {
        "run": run.id,
        "provider": target.provider.name,
        "settings": target.settings,
        "requirements": list(_requirements(target.needed)),
        "environment": list(job.trial.environment),
        "inputs": {name: each.target for name, each in moved(job, Path(run.record().native["base"]))[1].items()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def _copy_package(name: str, folder: Path) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    source = spec.submodule_search_locations[0]
    shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "emulator", "testing"))


def _write_metadata(folder: Path) -> None:
    """Write the metadata that make the folder an installed distribution, whose entry points name all providers known here."""
    info = folder / f"cloudtune-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: cloudtune\nVersion: {__version__}\n")
    lines = [
        line
        for group in (PROVIDERS, ALIASES, POOLS)
        for line in (f"[{group}]", *(f"{point.name} = {point.value}" for point in sorted(entry_points(group=group))))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _requirements(needed: tuple[str, ...]) -> Iterator[str]:
    """Yield what cloudtune and the providers' distributions and extras require, as pip takes it; not cloudtune, which travels."""
    owners = [point.dist for name, point in providers().items() if name in needed and point.dist is not None]
    for owner in dict.fromkeys(["cloudtune", *(each.name for each in owners)]):
        for line in requires(owner) or []:
            requirement, _, marker = line.partition(";")
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
            if (extra is None or extra[1] in needed) and not re.match(r"cloudtune\b(?!-)", requirement):
                yield requirement.strip()


def _write_project(run: RunStore, target: Target, project: Path) -> None:
    """Create a project with this run alone: its store, and the files of its folder that are bundled."""
    record = run.record()
    job, _ = moved(TuningJob.from_data(json.loads(record.job)), Path(record.native["base"]))
    native = {name: value for name, value in record.native.items() if name in ("code", "seed") or ":" in name}
    made = Store(project).create(
        replace(
            record,
            job=json.dumps(job.to_data(portable=True)),
            plan=json.dumps(target.provider.plan(job.driven()).to_data()),
            state=RunState.WAITING if record.started is None else RunState.INTERRUPTED,
            native={**native, "base": "."},
            emulators=anonymous(record.emulators),
        )
    )
    copy(run, made)
    made.store.close()
    for path in run.folder.rglob("*"):
        below = path.relative_to(run.folder)
        if path.is_file() and not any(part.match(stay) for part in (below, *below.parents) for stay in _STAYS):
            (made.folder / below).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, made.folder / below)


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the driver job, which is a local input of the job that it drives.

    Attributes:
        source: the absolute path on this machine.
        target: the path at which the program links it, relative to the job's folder.
    """

    source: str
    target: str


def moved(job: TuningJob, base: Path) -> tuple[TuningJob, dict[str, Input]]:
    """Return the job with its local inputs at the paths where the program links them, and the driver job's inputs.

    Args:
        job: the spec.
        base: what its paths are relative to.

    Returns:
        The job, whose paths are ``data/NAME`` (of a file ``data/NAME/FILE``); and the inputs by NAME.
    """
    inputs: dict[str, Input] = {}

    def move(name: str, place: str) -> str:
        if is_remote(place):
            return place
        path = base / local_path(place)
        target = f"data/{name}/{path.name}" if path.is_file() else f"data/{name}"
        inputs[name] = Input(str(path.absolute()), target)
        return target

    data = {
        name: move(name, said)
        if isinstance(said, str)
        else {provider: move(f"{name}-{provider}", place) for provider, place in said.items()}
        for name, said in job.data.items()
    }
    return job.model_copy(update={"data": data}), inputs
