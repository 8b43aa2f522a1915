"""What runs leave behind: removing a run, and finding what nobody needs any more."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.driver.standing import as_it_is
from cloudtune.errors import ConfigError, DamagedRun, RunBusy
from cloudtune.process.orphans import VARIABLE, end_leftovers
from cloudtune.store.records import RunRecord, RunState
from cloudtune.store.store import RunStore, Store

if TYPE_CHECKING:
    import psutil

_OF_EMULATORS = tuple(
    f"cloudtune-{kind}-" for kind in ("sagemaker", "vertex", "azureml", "trial", "code", "results", "mount")
)
"""How folders of emulators begin, in the machine's folder for what passes."""

_OLD = 24 * 3600.0
"""Seconds without a change after which an emulator's folder is left over, if no process uses it."""

_PACKED = ("assets", "driver/source")
"""What of a run's folder is of use only until the run has ended, as it was sent to the service."""


def remove(run: RunStore, *, force: bool = False) -> None:
    """Remove a run from the store, with its folder.

    Args:
        run: may be damaged.
        force: whether to remove it though a service may still run it.

    Raises:
        RunBusy: it is running.
    """
    try:
        state = as_it_is(run).state
    except DamagedRun:
        state = RunState.INTERRUPTED
    if state in (RunState.RUNNING, RunState.STOPPING) and not (force and not run.driven):
        raise RunBusy(f"{run.id} is {state.value}; end it first: {run.command('cancel')}")
    if run.folder.is_dir():
        with run.driving():
            end_leftovers(run.folder, set())
            run.remove()
    else:
        run.remove()


def at_the_service(run: RunStore) -> list[str]:
    """What a run has at services, and keeps there when it is removed here; nothing of emulators, or where it is damaged."""
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
    return [*found, "what it put into the storage there"] if found else []


def _is_away(record: RunRecord) -> bool:
    from cloudtune.provider.interface import load_provider  # noqa: PLC0415

    try:
        return load_provider(record.provider)({}).away
    except ConfigError:  # not installed, or several profiles, which one cannot tell without the config
        return record.provider not in ("local", "ray")


# What nobody needs


@dataclass(frozen=True, slots=True)
class Leaving:
    """A folder or file that nobody needs.

    Attributes:
        path: of it.
        why: why nobody needs it.
        size: of all its files, in bytes.
    """

    path: Path
    why: str
    size: int

    def remove(self) -> None:
        """Remove it, and end the processes that belong to it."""
        if self.path.is_dir():
            end_leftovers(self.path, set())
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.unlink(missing_ok=True)


def leavings(project: Path) -> list[Leaving]:
    """What nobody needs of a project's store, and of emulators of this user that were killed.

    Raises:
        StoreError: the store cannot be read, so that nothing is known of its folders.
    """
    store = Store(project)
    return [Leaving(path, why, _size(path)) for path, why in (*_of_store(store), *_of_emulators())]


def _of_store(store: Store) -> Iterator[tuple[Path, str]]:
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


def _of_emulators() -> Iterator[tuple[Path, str]]:
    root = Path(tempfile.gettempdir())
    old = [path for path in root.glob("cloudtune-*") if path.name.startswith(_OF_EMULATORS) and _is_old(path)]
    if not old:
        return
    used = _folders_in_use()
    for path in sorted(old):
        if not any(each == str(path) or each.startswith(f"{path}/") for each in used):
            yield path, "left by an emulator that is gone"


def _is_old(path: Path) -> bool:
    """Whether a folder is this user's, no link, and was not changed for long."""
    try:
        found = path.lstat()
        newest = max((each.lstat().st_mtime for each in path.rglob("*")), default=found.st_mtime)
    except OSError:
        return False
    mine = found.st_uid == os.getuid() and not path.is_symlink()
    return mine and time.time() - max(newest, found.st_mtime) > _OLD


def _folders_in_use() -> set[str]:
    """Folders and files that processes of this user work in, have open, or belong to."""
    import psutil  # noqa: PLC0415

    found: set[str] = set()
    for process in psutil.process_iter():
        found.update(_of_process(process))
    return found


def _of_process(process: "psutil.Process") -> set[str]:
    import psutil  # noqa: PLC0415

    try:
        return {process.cwd(), process.environ().get(VARIABLE, ""), *(file.path for file in process.open_files())}
    except (psutil.Error, OSError):
        return set()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.lstat().st_size for each in files if each.is_file() or each.is_symlink())
