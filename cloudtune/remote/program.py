"""The driver job's program: install what cloudtune needs beside it, and drive the run in the bundle.

It runs as a trial of the driver job, so the trial helper knows where its files are. It also prints whatever it writes
into its store; the machine that submitted it reads those lines into the local store.
"""

import contextlib
import gc
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import time
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudtune.remote.journal import Journal

MANIFEST = "cloudtune_driver.json"
"""The file beside the program that says what to drive."""

STORES = "stores"
"""The folder beside the program that becomes the project's ``.cloudtune``."""

STORE = "store.db"
"""The file that a driver job outputs at its end."""

_HERE = Path(__file__).parent
_STORE = Path(".cloudtune") / "store.db"  # as `cloudtune.store.store` has it

_ENVIRONMENT = "environment"
"""The folder beside the program for an environment with what cloudtune needs."""

_SENT_EVERY = 1.0
"""Seconds between two looks for what trials have printed, where it lies with the driver."""

_KEPT_EVERY = 10.0
"""Seconds between two copies of the store into the checkpoint, from which another start of this job resumes."""


def main() -> int:
    """Drive the run to its end; return the exit code."""
    manifest: dict[str, Any] = json.loads((_HERE / MANIFEST).read_text("utf-8"))
    _install(manifest["requirements"])
    from cloudtune.driver.interrupt import UNFINISHED, leave_at_once  # noqa: PLC0415  # importable only after `_install`
    from cloudtune.system.temporary import TemporaryFolder  # noqa: PLC0415

    if manifest["journal"]:
        signal.signal(signal.SIGTERM, leave_at_once)
    with TemporaryFolder() as project:
        return 0 if _drive_in(project.path, manifest) else UNFINISHED


def _drive_in(project: Path, manifest: dict[str, Any]) -> bool:
    from cloudtune import trial  # noqa: PLC0415

    shutil.copytree(_HERE / STORES, project / ".cloudtune")
    if manifest["journal"]:
        return _drive(manifest, project)
    earlier = Path(trial.checkpoint_dir()) / STORE
    if earlier.exists():  # this job was interrupted, and restarts
        shutil.copyfile(earlier, project / _STORE)
    ended = _drive(manifest, project)
    _copy(project / _STORE, Path(trial.output_dir()) / STORE)
    return ended


def _install(requirements: list[str]) -> None:
    """Go on in an environment with the requirements if this one lacks any: that may be a machine's own, as the head's of a cluster.

    Raises:
        SystemExit: pip could not install them.
    """
    missing = [requirement for requirement in requirements if not _is_there(requirement)]
    if not missing:
        return
    folder = (_HERE / _ENVIRONMENT).resolve()
    if Path(sys.prefix).resolve() != folder:
        python = str(make_environment(folder))
        if subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=False).returncode == 0:
            os.execv(python, [python, *sys.argv])  # noqa: S606  # the same process: whoever started it may end that
    sys.exit(f"{sys.executable} lacks {', '.join(missing)}, and pip could not install it in {folder}; see above")


def make_environment(folder: Path) -> Path:
    """Create an environment in which whatever this Python has is found, and what is installed there goes before it.

    Unlike with ``--system-site-packages`` this holds where this Python is that of an environment, too.

    Args:
        folder: of the environment; what it held is removed.

    Returns:
        The environment's Python.
    """
    venv.create(folder, clear=True, symlinks=os.name != "nt")
    place = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "venv", place))
    lines = [f"import site; site.addsitedir({path!r})\n" for path in sys.path if _holds_packages(path)]
    (own / "beneath.pth").write_text("".join(lines), "utf-8")
    return Path(sysconfig.get_path("scripts", "venv", place)) / "python"


def _holds_packages(path: str) -> bool:
    return Path(path).name in ("site-packages", "dist-packages")


def _is_there(requirement: str) -> bool:
    """Return whether a distribution is installed, in any version: checking versions with pip would take long."""
    try:
        version(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
    except PackageNotFoundError:
        return False
    return True


def _drive(manifest: dict[str, Any], project: Path) -> bool:
    from cloudtune import trial  # noqa: PLC0415
    from cloudtune.provider.interface import load_provider  # noqa: PLC0415
    from cloudtune.remote.files import Sender  # noqa: PLC0415
    from cloudtune.results.progress import Progress  # noqa: PLC0415
    from cloudtune.store.secrets import keep_environment  # noqa: PLC0415

    run = _journal(manifest, project)
    keep_environment(run, {name: os.environ[name] for name in manifest["environment"]})
    base = _base_with(manifest["inputs"], project)
    run.write(columns={"native": {**run.record().native, "base": str(base)}})
    provider = load_provider(manifest["provider"])(manifest["settings"])
    kept = sent = time.monotonic()
    files = Sender(run)

    def keep(_: Progress) -> None:
        nonlocal kept, sent
        if time.monotonic() - sent > _SENT_EVERY:
            sent = time.monotonic()
            files.look()
        if not manifest["journal"] and time.monotonic() - kept > _KEPT_EVERY:
            kept = time.monotonic()
            _copy(project / _STORE, Path(trial.checkpoint_dir()) / STORE)

    state = provider.follow(run, keep)
    files.look()
    trial.report(finished=len([each for each in run.trials() if each.state.ended]))
    return state.ended


def _journal(manifest: dict[str, Any], project: Path) -> "Journal":
    """Return the run; where its entries are kept, as an earlier start of this job has left it, whose lines are printed again."""
    from cloudtune import trial  # noqa: PLC0415
    from cloudtune.driver.interrupt import UNFINISHED  # noqa: PLC0415
    from cloudtune.remote.journal import JOURNAL, Journal, JournalFile, Reader, TakenOver  # noqa: PLC0415
    from cloudtune.store.store import Store  # noqa: PLC0415

    store, run_id = Store(project), manifest["run"]
    if not manifest["journal"]:
        return Journal(store, run_id, _say)
    kept, reader = JournalFile(Path(trial.output_dir()) / JOURNAL), Reader(store.run(run_id))
    for line in kept.earlier:
        reader.read(line)
        _say(line)

    def say(line: str) -> None:
        try:
            kept.append(line)
        except TakenOver:
            _say("another start of this driver has taken over the run")
            os._exit(UNFINISHED)  # as one that is killed: nothing more is written, trials go on
        _say(line)

    return Journal(store, run_id, say, reader.last)


def _say(line: str) -> None:
    print(line, flush=True)


def _base_with(inputs: dict[str, str], project: Path) -> Path:
    """Return the folder that the job's paths are relative to, with its inputs linked where `bundle.moved` says."""
    from cloudtune import trial  # noqa: PLC0415

    base = project / "base"
    (base / "data").mkdir(parents=True, exist_ok=True)
    for name, place in inputs.items():
        source, target = Path(trial.data(name)).absolute(), base / place
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # linked by an earlier start
            target.symlink_to(source)
    return base


def _copy(store: Path, target: Path) -> None:
    """Copy a store that may be in use, atomically: another start never finds half of one."""
    fresh = target.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(store)) as source, contextlib.closing(sqlite3.connect(fresh)) as copy:
        source.backup(copy)
    fresh.replace(target)


if __name__ == "__main__":
    code = main()
    gc.freeze()  # else the interpreter looks through all objects of the SDK before it ends
    sys.exit(code)
