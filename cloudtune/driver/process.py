"""Start, follow, watch and cancel runs that a process of this machine drives."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cloudtune.driver.interrupt import interruptible
from cloudtune.errors import CloudtuneError, DriverError, ProviderError, RunBusy, in_one_line
from cloudtune.planning.plan import Plan
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.store.secrets import forget
from cloudtune.system.processes import detached

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.results.progress import Watcher
    from cloudtune.store.store import RunStore

WATCHING_INTERVAL = 0.2
"""Seconds between two reads of the progress of a run that another process drives."""

_START_TIMEOUT = 120.0
"""Seconds that a new driver may take until it holds the run's lock."""


class Site(ABC):
    """Where the trials of driven runs are run; a provider implements it to have its runs driven by this machine."""

    @abstractmethod
    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        """Return a launcher of the run's trials; the caller closes it.

        End the trials of an earlier driver that cannot be adopted (`Launcher.adopt`).

        Args:
            run: whose lock the caller holds.
            job: the run's spec.

        Raises:
            ProviderError: the place of the trials cannot be reached, or refuses.
        """

    @abstractmethod
    def abandon(self, run: "RunStore") -> None:
        """End the trials that a driver left running when it was killed; called to cancel a run without a driver.

        Args:
            run: whose lock the caller holds.

        Raises:
            ProviderError: the place of the trials cannot be reached, or refuses.
        """

    def settle(self, run: "RunStore") -> None:
        """Remove what an ended run no longer needs: its secrets."""
        forget(run)

    def keep(self, run: "RunStore") -> None:  # noqa: B027  # most keep everything on this machine
        """Save what an interrupted run may lose before it is resumed, such as the logs of an emulator."""


def start(run: "RunStore") -> None:
    """Start a process that drives the run and outlives this one; do nothing if another process drives it.

    Raises:
        ProviderError: the driver ended before it had begun, or did not begin within `_START_TIMEOUT` seconds.
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
            **detached(),
        )
    try:
        _await_driver(run, process)
    except KeyboardInterrupt:
        process.terminate()  # nobody waits for it any more
        process.wait()
        raise
    # The driver outlives this process; waiting for it here only keeps it from becoming a zombie.
    threading.Thread(target=process.wait, daemon=True).start()


def _await_driver(run: "RunStore", process: "subprocess.Popen[bytes]") -> None:
    """Wait until a new driver holds the run's lock, or has ended the run.

    Raises:
        ProviderError: it ended before, or did not begin within `_START_TIMEOUT` seconds.
    """
    until = time.monotonic() + _START_TIMEOUT
    while not run.driven and run.record().state in (RunState.WAITING, RunState.INTERRUPTED):
        if process.poll() is not None or time.monotonic() > until:
            said = (run.folder / "driver.log").read_text(errors="replace").strip().splitlines()
            raise ProviderError(f"the driver did not start: {said[-1] if said else 'it said nothing'}")
        time.sleep(0.01)


def follow(run: "RunStore", site: Site, watcher: "Watcher | None" = None) -> RunState:
    """Drive the run until it ends, or watch the process that drives it; return the run's state.

    Raises:
        DriverError: the driver broke; the run is interrupted and can be resumed.
        ProviderError: the place of the trials cannot be reached, or refuses.
        StoreError: the store cannot be read or written.
    """
    if run.record().state.ended:
        forget(run)  # a driver that was killed at the very end could not
        return run.record().state
    try:
        with run.locked(dying=True), _driver_errors(run):
            state = run.record().state  # another driver may have ended it while the lock was asked for
            return state if state.ended else _run_driver(run, site, watcher)
    except RunBusy:
        state = watch(run, watcher)
    if not state.ended:
        refresh(run)
    return run.record().state


@contextlib.contextmanager
def _driver_errors(run: "RunStore") -> Iterator[None]:
    """Turn an unforeseen exception of the driver into a DriverError, which names the command that resumes the run."""
    try:
        yield
    except CloudtuneError:
        raise
    except Exception as error:
        why = f"the driver of {run.id} broke: {in_one_line(error)}"
        raise DriverError(f"{why}; none of its trials failed by that, and `{run.command('resume')}` goes on") from error


def _run_driver(run: "RunStore", site: Site, watcher: "Watcher | None") -> RunState:
    from cloudtune.costs.spending import Spending  # noqa: PLC0415
    from cloudtune.costs.warning import warner  # noqa: PLC0415
    from cloudtune.driver import warm_start  # noqa: PLC0415  # reading a run needs none of this
    from cloudtune.driver.loop import Driver  # noqa: PLC0415

    record = run.record()
    job, plan = TuningJob.from_data(json.loads(record.job)), Plan.from_data(json.loads(record.plan))
    with interruptible() as interrupt, contextlib.closing(site.launcher(run, job)) as launcher:
        driver = Driver(
            job,
            run,
            launcher,
            seed=int(record.native["seed"]),
            watcher=watcher,
            interrupt=interrupt,
            known=warm_start.kept(run.folder),
            spending=Spending(job, plan.machines, plan.rates, plan.driver, warner(run, job)),
        )
        state = driver.run()
    if state.ended:
        site.settle(run)
    else:
        site.keep(run)
    return state


def watch(run: "RunStore", watcher: "Watcher | None" = None) -> RunState:
    """Watch a run through the store until no process drives or follows it any more; return its state.

    The run's own end is not enough: its driver settles it after that, and may need what the caller would remove.
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
    """Write that the run is interrupted, if its driver is gone."""
    from cloudtune.driver.standing import settle  # noqa: PLC0415  # reading a run needs none of this

    settle(run)


def cancel(run: "RunStore", site: Site) -> None:
    """Ask the driver to cancel the run, or cancel it here if it has no driver.

    Raises:
        ProviderError: the place of the trials cannot be reached, or refuses.
    """
    run.write(columns={"wish": "cancel"})
    try:
        with run.locked(dying=True):
            site.abandon(run)
            end_cancelled(run)
            site.settle(run)
    except RunBusy:
        return  # its driver reads the request


def end_cancelled(run: "RunStore") -> None:
    """Write that the run and its unfinished trials were cancelled."""
    why, now = "cancelled by its user", time.time()
    left = run.trials(TrialState.WAITING, TrialState.RUNNING, TrialState.PAUSED)
    for trial in left:
        trial.state, trial.reason, trial.ended = TrialState.CANCELLED, why, now
    columns = {"state": RunState.CANCELLED.value, "reason": why, "ended": now}
    run.write(trials=left, events=[(None, why)], columns=columns)
