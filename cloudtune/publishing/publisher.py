"""The publisher of a run to its targets, once or until the run ends."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from cloudtune.driver.outages import OutageTolerance
from cloudtune.errors import ProviderError, RunBusy
from cloudtune.publishing.target import Published, Target
from cloudtune.results.continued import continued_reports
from cloudtune.store.records import RunState, Trial
from cloudtune.system.locks import open_lock, try_lock

if TYPE_CHECKING:
    from cloudtune.results.view import RunView
    from cloudtune.store.records import RunRecord

LOOK = 0.5
"""Seconds between two updates of a run that goes on; times that a target sets itself are as exact as this."""

REFRESH = 5.0
"""Seconds between two refreshes of the run from its service."""

_LONGEST_PAUSE = 30.0
"""Most seconds until an unreachable target is tried again."""

Tell = Callable[[str], None]


class Publisher:
    """A context manager that publishes one run, and locks it so that no other process publishes it to the same targets.

    Args:
        run: the run to publish.
        targets: the targets.

    Raises (on entering):
        RunBusy: another process publishes the run to a target.
        ProviderError: a target cannot be reached.
        ConfigError: the run's name is taken at a target.
    """

    def __init__(self, run: "RunView", targets: Sequence[Target]) -> None:
        self._run = run
        self._feeds = [_Feed(run, target) for target in targets]
        self._held = contextlib.ExitStack()
        self._tolerance = OutageTolerance()
        self._next_refresh = 0.0

    def __enter__(self) -> "Publisher":
        with contextlib.ExitStack() as held:
            for feed in self._feeds:
                held.enter_context(_locked(self._run, feed.target))
                with feed.target.reached():
                    feed.target.open()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def published(self) -> list[Published]:
        """Where the run is published, for each target."""
        return [feed.target.published for feed in self._feeds]

    def publish(self, *, follow: bool = False, tell: Tell | None = None) -> RunState:
        """Update the targets.

        Args:
            follow: whether to go on until the run has ended or is interrupted. Targets that cannot be reached meanwhile
                are tried again.
            tell: called with a message for each outage of a target or service.

        Returns:
            The run's state as it was published.

        Raises:
            ProviderError: a target cannot be reached, or refuses something.
        """
        while True:
            record = (
                self._record(tell) if follow else self._run.record
            )  # read before the trials, which end before the run
            last = not follow or record.state.ended or record.state is RunState.INTERRUPTED
            for feed in self._feeds:
                if last:
                    feed.update(record)
                else:
                    feed.try_to_update(record, tell)
            if last:
                return record.state
            time.sleep(LOOK)

    def _record(self, tell: Tell | None) -> "RunRecord":
        """Return the record, refreshed every `REFRESH` seconds; tolerate outages of the service for a while."""
        if time.monotonic() >= self._next_refresh:
            self._next_refresh = time.monotonic() + REFRESH
            with self._tolerance.tolerated(), _announced(tell):
                return self._run.refreshed()
        return self._run.record


class _Feed:
    """One target, with what has been sent to it.

    An update costs time for changed trials and the reports of running trials only.
    """

    def __init__(self, run: "RunView", target: Target) -> None:
        self.target = target
        self._run = run
        self._revision = 0
        self._running: dict[int, tuple[Trial, int]] = {}  # each with the number of its reports that were sent
        self._ended: dict[int, Trial] = {}
        self._state: RunState | None = None
        self._in_doubt = False
        self._tolerance = OutageTolerance()
        self._pause = self._next_try = 0.0

    def try_to_update(self, record: "RunRecord", tell: Tell | None) -> None:
        """Update the target, unless it is paused after an outage; tolerate outages for a while.

        Raises:
            ProviderError: the target has been unreachable for too long.
        """
        if time.monotonic() < self._next_try:
            return
        self._pause = min(2 * self._pause + LOOK, _LONGEST_PAUSE)
        self._next_try = time.monotonic() + self._pause  # reset on success
        with self._tolerance.tolerated(), _announced(tell):
            self.update(record)
            self._pause = self._next_try = 0.0

    def update(self, record: "RunRecord") -> None:
        """Send the changes to the target. After a failure, the next update sends them again."""
        if self._in_doubt:
            with self.target.reached():
                self.target.find()
        self._in_doubt = True
        revision, changed = self._run.changes(self._revision)
        known = {trial.number: trial for trial, _ in self._running.values()}
        for _, trial in sorted({**known, **{trial.number: trial for trial in changed}}.items()):
            self._update_trial(trial, changed=trial is not known.get(trial.number))
        self._ended |= {trial.number: trial for trial in changed if trial.state.ended}
        if changed or record.state is not self._state:
            with self.target.reached():
                self.target.take_run(record, list(self._ended.values()))
        self._revision, self._state = revision, record.state
        self._in_doubt = False

    def _update_trial(self, trial: Trial, *, changed: bool) -> None:
        reports = continued_reports(self._run.reports(trial.number), trial.attempt)
        if changed or len(reports) != self._running[trial.number][1]:
            with self.target.reached():
                self.target.take_trial(trial, reports)
        if trial.state.ended:
            self._running.pop(trial.number, None)
        else:
            self._running[trial.number] = trial, len(reports)


@contextlib.contextmanager
def _announced(tell: Tell | None) -> Iterator[None]:
    """Call `tell` with a message for a retryable error, and let the error pass."""
    try:
        yield
    except ProviderError as error:
        if tell is not None and error.retryable:
            tell(f"{error}; trying again")
        raise


@contextlib.contextmanager
def _locked(run: "RunView", target: Target) -> Iterator[None]:
    """Hold the lock of a run and a target; the system releases it when the process dies.

    Raises:
        RunBusy: another process holds it.
    """
    digest = hashlib.sha256(f"{target.name} {target.raw_address}".encode()).hexdigest()[:16]
    descriptor = open_lock(run.folder / f"publishing-{digest}.lock")
    try:
        if not try_lock(descriptor):
            raise RunBusy(f"another process publishes {run.id} to {target.name} at {target.address} already")
        yield
    finally:
        os.close(descriptor)
