"""Removal of runs, and of unused files of the store, of killed emulators and of other killed programs."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from cloudtune.driver.standing import as_it_is
from cloudtune.errors import ConfigError, DamagedRun, RunBusy
from cloudtune.plugins.entry_points import emulators
from cloudtune.process.orphans import VARIABLE, kill_orphans
from cloudtune.provider.interface import Provider, load_provider
from cloudtune.remote.resolving import provider_of
from cloudtune.store.records import RunRecord, RunState
from cloudtune.store.store import RunStore, Store
from cloudtune.system.processes import is_mine
from cloudtune.system.temporary import PREFIX, abandoned

_OF_EMULATORS = ("trial", "code", "results", "mount")
"""What emulators' folders in the machine's temporary folder begin with behind ``cloudtune-``, beside the provider's name."""

_OLD = 24 * 3600.0
"""Seconds without a change after which an emulator's folder without a lock is unused, if no process uses it."""

_PACKED = ("assets", "driver/source")
"""Parts of a run's folder that are needed only until the run has ended."""


def remove(run: RunStore, *, force: bool = False) -> None:
    """Remove a run and its folder from the store.

    Args:
        run: the run, which may be damaged.
        force: whether to remove it although a service may still run it.

    Raises:
        RunBusy: the run is running.
    """
    try:
        state = as_it_is(run).state
    except DamagedRun:
        state = RunState.INTERRUPTED
    if state in (RunState.RUNNING, RunState.STOPPING) and not (force and not run.driven):
        raise RunBusy(f"{run.id} is {state.value}; end it first: {run.command('cancel')}")
    if run.folder.is_dir():
        with run.locked():
            kill_orphans(run.folder, set())
            run.remove()
    else:
        run.remove()


def at_the_service(run: RunStore) -> list[str]:
    """Return texts on what a run keeps at its service after its removal here; [] for emulators and damaged runs."""
    try:
        record, trials = run.record(), run.trials()
    except DamagedRun:
        return []
    if record.provider in record.emulators:
        return []
    found = [f"the tuning job {record.native['job']} on {record.where}"] if "job" in record.native else []
    if not found and _is_away(record):
        places = [
            trial.place for trial in trials if trial.place and trial.place.partition(":")[0] not in record.emulators
        ]
        some = f"{', '.join(places[:3])}{', …' if len(places) > 3 else ''}"
        found = [f"{len(places)} jobs of its trials on {record.where}: {some}"] if places else []
    kept = [f"{record.native['kept']}, which costs until it is given back"] if "kept" in record.native else []
    return [*kept, *found, "what it put into the storage there"] if found else kept


def _is_away(record: RunRecord) -> bool:
    try:
        return load_provider(record.provider)({}).away
    except ConfigError:  # not installed, or several profiles, whose config is unknown here
        return True


# Unused files


@dataclass(frozen=True, slots=True)
class Unused:
    """An unused folder or file.

    Attributes:
        path: its path.
        why: why it is unused, for the user.
        size: the size of all its files, in bytes.
    """

    path: Path
    why: str
    size: int

    def remove(self) -> None:
        """End the processes that work in it, and remove it."""
        if self.path.is_dir():
            kill_orphans(self.path, set())
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that a service keeps for the trials of a run that no process drives, and that costs.

    Attributes:
        run: the run.
        what: its name.
        needed: whether trials run on it that a resume would take over.
        provider: of the run.
    """

    run: RunStore
    what: str
    needed: bool
    provider: Provider

    @property
    def why(self) -> str:
        """The text on why it is there."""
        state = self.run.record().state.value
        hint = f", and trials run on it: {self.run.command('resume')}, or {self.run.command('cancel')}"
        return f"kept for the trials of {self.run.id}, which is {state}{hint if self.needed else ''}"

    def release(self) -> None:
        """Have the service give it up, unless trials run on it; see `Provider.release` for errors."""
        if not self.needed:
            self.provider.release(self.run)


def kept_at_services(project: Path) -> Iterator[Kept]:
    """Yield what services keep for runs that no process drives.

    Raises:
        StoreError: the store cannot be read.
        ConfigError: the config is invalid.
    """
    store = Store(project)
    for record in store.records():
        run = store.run(record.id)
        if json.loads(record.job).get("compute", {}).get("keep") is None or run.driven:
            continue
        provider = provider_of(as_it_is(run), project)
        needed = bool(run.launched())
        yield from (Kept(run, what, needed, provider) for what in provider.kept(run))


def unused_files(project: Path) -> list[Unused]:
    """Return the unused files of a project's store, and of this user's killed emulators and other programs.

    Raises:
        StoreError: the store cannot be read.
    """
    store = Store(project)
    return [Unused(path, why, _size(path)) for path, why in (*_unused_in_store(store), *_unused_temporary())]


def _unused_in_store(store: Store) -> Iterator[tuple[Path, str]]:
    folders = store.folder / "runs"
    if not folders.is_dir():
        return
    ids = store.ids()
    for folder in sorted(folders.iterdir()):
        if not any(each == folder.name or each.startswith(f"{folder.name}/") for each in ids):
            yield folder, "its run is gone"
    for record in store.records():
        folder = folders / record.id
        if record.state.ended:
            yield from (
                (folder / part, "packed for a run that has ended") for part in _PACKED if (folder / part).exists()
            )
            if (folder / "environment.json").exists():
                yield folder / "environment.json", "secrets of a run that has ended"


def _unused_temporary() -> Iterator[tuple[Path, str]]:
    """Yield temporary folders whose owners are gone: by their locks, or by their age where they have none."""
    root, kinds = Path(tempfile.gettempdir()), (*emulators(), *_OF_EMULATORS)
    names = tuple(f"{PREFIX}{kind}-" for kind in kinds)
    old = {path for path in root.glob(f"{PREFIX}*") if path.name.startswith(names) and _is_old(path)}
    gone = old.union(*map(abandoned, kinds))
    found = {
        **dict.fromkeys(gone, "left by an emulator that is gone"),
        **dict.fromkeys(abandoned(), "left by a program that is gone"),
    }
    used = _folders_in_use() if found else set()
    for path, why in sorted(found.items()):
        if not any(each == str(path) or each.startswith(f"{path}/") for each in used):
            yield path, why


def _is_old(path: Path) -> bool:
    """Return whether a folder belongs to this user, is no link, and has not changed for `_OLD` seconds."""
    try:
        found = path.lstat()
        newest = max((each.lstat().st_mtime for each in path.rglob("*")), default=found.st_mtime)
    except OSError:
        return False
    mine = is_mine(found) and not path.is_symlink()
    return mine and time.time() - max(newest, found.st_mtime) > _OLD


def _folders_in_use() -> set[str]:
    """Return the paths that processes work in, have open, or name as their run's folder."""
    found: set[str] = set()
    for process in psutil.process_iter():
        found.update(_of_process(process))
    return found


def _of_process(process: psutil.Process) -> set[str]:
    try:
        return {process.cwd(), process.environ().get(VARIABLE, ""), *(file.path for file in process.open_files())}
    except (psutil.Error, OSError):
        return set()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.lstat().st_size for each in files if each.is_file() or each.is_symlink())
