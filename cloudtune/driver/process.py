"""Runs that a process of this machine drives: starting, following, watching and ending them, whatever runs the trials."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cloudtune.errors import CloudtuneError, DriverError, ProviderError, RunBusy, in_one_line
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.store.secrets import forget

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.driver.loop import Interrupt
    from cloudtune.results.progress import Watcher
    from cloudtune.store.store import RunStore

WATCHING_INTERVAL = 0.2
"""Seconds between two looks at a run that another process drives."""

_START_TIMEOUT = 30.0

_LOOK_UP = 0.1
"""Seconds after which a wait looks whether to leave."""

_SIGNALS = {
    signal.SIGINT: "by Ctrl-C",
    signal.SIGTERM: "by SIGTERM",
    signal.SIGHUP: "since its terminal was closed (SIGHUP)",
}
"""The signals that interrupt a driver, and the words for each."""


class Site(ABC):
    """Where the trials of driven runs are run: what a provider gives so that its runs can be driven."""

    @abstractmethod
    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        """Return what launches the run's trials, after ending whatever an earlier driver left that cannot be taken over.

        Raises:
            ProviderError: the place cannot be reached, or refuses.
        """

    @abstractmethod
    def abandon(self, run: "RunStore") -> None:
        """End the trials that a dead driver left running.

        Raises:
            ProviderError: the place cannot be reached, or refuses.
        """

    def settle(self, run: "RunStore") -> None:
        """Forget what an ended run needs no more: its secrets."""
        forget(run)

    def keep(self, run: "RunStore") -> None:  # noqa: B027  # most keep everything on this machine
        """Keep what may be gone when an interrupted run goes on, such as an emulator's logs."""


def start(run: "RunStore") -> None:
    """Start a process that drives the run and outlives this one; nothing if one does already.

    Raises:
        ProviderError: the driver did not start.
    """
    if run.driven:
        return
    command = [sys.executable, "-m", "cloudtune.cli.drive", str(run.store.project), run.id]
    with (run.folder / "driver.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=run.store.project,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + _START_TIMEOUT
    while not run.driven and run.record().state in (RunState.WAITING, RunState.INTERRUPTED):
        if process.poll() is not None or time.monotonic() > until:
            said = (run.folder / "driver.log").read_text(errors="replace").strip().splitlines()
            raise ProviderError(f"the driver did not start: {said[-1] if said else 'it said nothing'}")
        time.sleep(0.01)
    # The driver goes on by itself from here; its run is watched through the store.
    threading.Thread(target=process.wait, daemon=True).start()


def follow(run: "RunStore", site: Site, watcher: "Watcher | None" = None) -> RunState:
    """Drive the run until it ends, or watch the process that drives it; see `Provider.follow`."""
    if run.record().state.ended:
        forget(run)  # a driver that was killed at the very end could not
        return run.record().state
    try:
        with run.driving(), _in_words(run):
            return _drive(run, site, watcher)
    except RunBusy:
        state = watch(run, watcher)
    if not state.ended:
        refresh(run)
    return run.record().state


@contextlib.contextmanager
def _in_words(run: "RunStore") -> Iterator[None]:
    """Turn what breaks a driver into an error of ours, so that a user reads what to do and no traceback."""
    try:
        yield
    except CloudtuneError:
        raise
    except Exception as error:
        why = f"the driver of {run.id} broke: {in_one_line(error)}"
        raise DriverError(f"{why}; none of its trials failed by that, and `{run.command('resume')}` goes on") from error


def _drive(run: "RunStore", site: Site, watcher: "Watcher | None") -> RunState:
    from cloudtune.driver import warm_start as earlier  # noqa: PLC0415  # reading a run needs none of this
    from cloudtune.driver.loop import Driver  # noqa: PLC0415

    record = run.record()
    job = TuningJob.from_data(json.loads(record.job))
    with interruptible() as interrupt, contextlib.closing(site.launcher(run, job)) as launcher:
        driver = Driver(
            job,
            run,
            launcher,
            seed=int(record.native["seed"]),
            watcher=watcher,
            interrupt=interrupt,
            earlier=earlier.kept(run.folder),
        )
        state = driver.drive()
    if state.ended:
        site.settle(run)
    else:
        site.keep(run)
    return state


def watch(run: "RunStore", watcher: "Watcher | None" = None) -> RunState:
    """Watch a run that another process drives or follows, through the store, until none does.

    Its end is not enough: the process that drives it settles it after that, and may need what the caller would take away.
    """
    from cloudtune.driver.follower import RunFollower  # noqa: PLC0415

    seen = RunFollower(run)
    while True:
        alive = run.driven
        progress = seen.progress()
        if watcher is not None:
            watcher(progress)
        if not alive:
            return progress.state
        time.sleep(WATCHING_INTERVAL)


def refresh(run: "RunStore") -> None:
    """Note that a run whose driver is gone is interrupted."""
    from cloudtune.driver.standing import settle  # noqa: PLC0415  # which knows where a run is driven by us

    settle(run)


def cancel(run: "RunStore", site: Site) -> None:
    """Ask the driver to end the run, or end it where there is no driver."""
    run.write(columns={"wish": "cancel"})
    try:
        with run.driving():
            site.abandon(run)
            end_cancelled(run)
            site.settle(run)
    except RunBusy:
        return  # its driver sees the wish


def end_cancelled(run: "RunStore") -> None:
    """Write down that a run, and what is left of its trials, was cancelled."""
    why, now = "cancelled by its user", time.time()
    left = run.trials(TrialState.WAITING, TrialState.RUNNING)
    for trial in left:
        trial.state, trial.reason, trial.ended = TrialState.CANCELLED, why, now
    columns = {"state": RunState.CANCELLED.value, "reason": why, "ended": now}
    run.write(trials=left, events=[(None, why)], columns=columns)


Condition = Callable[[], bool]


def pause(seconds: float, leave: Condition) -> bool:
    """Wait, but not once it is time to leave; return whether it is."""
    until = time.monotonic() + seconds
    while not leave():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _LOOK_UP))
    return True


@contextlib.contextmanager
def interruptible() -> Iterator["Interrupt"]:
    """Turn Ctrl-C into levels of urgency: the first lets the running trials end, the second ends them; SIGTERM ends them at once.

    Only the main thread can; elsewhere the interrupt stays as it is. A signal that is ignored as
    this process starts (`nohup`) stays so.
    """
    from cloudtune.driver.loop import Interrupt  # noqa: PLC0415

    interrupt = Interrupt()

    def on_signal(number: int, _frame: object) -> None:
        interrupt.ask(min(interrupt.level + 1, 2) if number == signal.SIGINT else 2, _SIGNALS[signal.Signals(number)])

    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
