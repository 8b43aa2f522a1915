"""Bundle what a driver job needs: cloudtune, the run with its store, and how to reach the service of its trials."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.driver.listeners import anonymous
from cloudtune.errors import Problem
from cloudtune.planning.plan import Plan
from cloudtune.plugins.entry_points import ALIASES, POOLS, PROVIDERS, STOPPING, STRATEGIES, find, providers
from cloudtune.plugins.installed import entry_points
from cloudtune.plugins.version import __version__
from cloudtune.remote.journal import copy
from cloudtune.remote.program import MANIFEST, STORES
from cloudtune.spec.job import TuningJob
from cloudtune.spec.places import is_remote, local_path
from cloudtune.store.records import RunRecord, RunState
from cloudtune.store.store import RunStore, Store

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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


def bundle(run: RunStore, target: Target, folder: Path, *, journal: bool = False) -> None:
    """Write the bundle.

    Args:
        run: in its present state.
        target: what the trials run on.
        folder: created anew.
        journal: whether the driver keeps its journal among its outputs; see `Provider.keeps_appended`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    job = TuningJob.from_data(json.loads(run.record().job))
    points, own = [providers()[name] for name in target.needed], search_plugins(job)
    for package in ("cloudtune", *sorted({_package_of(point) for point in points})):
        _copy_package(package, folder, "emulator", "testing")
    for package in sorted({_package_of(point) for point in own} - {_package_of(point) for point in points}):
        _copy_package(package, folder)
    _write_metadata(folder)
    _write_project(run, target, folder / "project")
    (folder / "project" / ".cloudtune" / ".gitignore").unlink()  # it would exclude the store from the upload
    (folder / "project" / ".cloudtune").rename(folder / STORES)
    shutil.copyfile(Path(__file__).with_name("program.py"), folder / PROGRAM)
    manifest = {
        "run": run.id,
        "journal": journal,
        "provider": target.provider.name,
        "settings": target.settings,
        "requirements": list(_requirements([*points, *own])),
        "environment": list(job.trial.environment),
        "inputs": {name: each.target for name, each in moved(job, Path(run.record().native["base"]))[1].items()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def search_plugins(job: TuningJob) -> list["EntryPoint"]:
    """Return the entry points of the job's strategy and stopping rule, as far as the core has them not."""
    rule = job.stopping or job.strategy.own_stopping
    asked = [(STRATEGIES, job.strategy.type), *([] if rule is None else [(STOPPING, rule.type)])]
    found = (find(group, name) for group, name in asked)
    return [point for point in found if point is not None and _package_of(point) != "cloudtune"]


def immovable(job: TuningJob) -> list[Problem]:
    """Return what of the job's strategy and stopping rule cannot travel to a driver that runs elsewhere."""
    problems = []
    for point in search_plugins(job):
        if _source_of(_package_of(point)) is None:
            path = "strategy" if point.group == STRATEGIES else "stopping"
            what = f"{point.name!r} is of the package {_package_of(point)}, which is no folder or file of Python source"
            problems.append(Problem(path, f"{what} and cannot travel with the driver; leave --driver away"))
    return problems


def _package_of(point: "EntryPoint") -> str:
    return point.module.partition(".")[0]


def _source_of(name: str) -> Path | None:
    """Return the folder of a package, or the file of a module; None where it is neither, as in an archive."""
    spec = find_spec(name)
    places = () if spec is None else spec.submodule_search_locations or (spec.origin or "",)
    found = next((Path(place) for place in places if place), None)
    if found is None or not (found.is_dir() or (found.suffix == ".py" and found.is_file())):
        return None
    return found


def _copy_package(name: str, folder: Path, *left_out: str) -> None:
    source = _source_of(name)
    assert source is not None, f"{name} cannot travel"
    if source.is_dir():
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", *left_out))
    else:
        shutil.copyfile(source, folder / source.name)


def _write_metadata(folder: Path) -> None:
    """Write the metadata that make the folder an installed distribution, whose entry points name what is known here."""
    info = folder / f"cloudtune-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: cloudtune\nVersion: {__version__}\n")
    lines = [
        line
        for group in (PROVIDERS, ALIASES, POOLS, STRATEGIES, STOPPING)
        for line in (f"[{group}]", *(f"{point.name} = {point.value}" for point in sorted(entry_points(group=group))))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _requirements(points: Sequence["EntryPoint"]) -> Iterator[str]:
    """Yield what cloudtune and the plug-ins' distributions and extras require, as pip takes it; not cloudtune, which travels."""
    needed = {point.name for point in points}
    owners = [point.dist for point in points if point.dist is not None]
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
    native = {name: value for name, value in record.native.items() if name in ("code", "mark", "seed") or ":" in name}
    made = Store(project).create(
        replace(
            record,
            job=json.dumps(job.to_data(portable=True)),
            plan=json.dumps(_plan(target, job, record).to_data()),
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


def _plan(target: Target, job: TuningJob, record: RunRecord) -> Plan:
    """Return the plan of the job as it travels, with the machines and the prices that the run was planned with."""
    own = Plan.from_data(json.loads(record.plan))
    return replace(target.provider.plan(job.driven()), machines=own.machines, rates=own.rates, driver=own.driver)


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
