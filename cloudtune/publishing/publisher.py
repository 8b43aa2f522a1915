"""Publishing one run to its targets, once or until it ends."""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from cloudtune.driver.outages import OutageTolerance
from cloudtune.errors import ProviderError, RunBusy
from cloudtune.publishing.target import Published, Target
from cloudtune.store.records import RunState, Trial

if TYPE_CHECKING:
    from cloudtune.results.view import RunView
    from cloudtune.store.records import RunRecord

LOOK = 0.5
"""Seconds between two looks at a run that goes on; a target's times of events are as exact as this at worst."""

REFRESH = 5.0
"""Seconds between two looks at the service that runs the trials, if nobody else follows the run."""

_LONGEST_PAUSE = 30.0
"""Seconds after which a target that could not be reached is tried again, at most."""

Tell = Callable[[str], None]


class Publisher:
    """Publishes one run; a context, within which nobody else publishes it to the same targets.

    Args:
        run: what to publish.
        targets: where to.

    Raises (on entering):
        RunBusy: another process does.
        ProviderError: a target cannot be reached.
        ConfigError: something else has the run's place at a target.
    """

    def __init__(self, run: "RunView", targets: Sequence[Target]) -> None:
        self._run = run
        self._feeds = [_Feed(run, target) for target in targets]
        self._held = contextlib.ExitStack()
        self._patience = OutageTolerance()
        self._next_refresh = 0.0

    def __enter__(self) -> "Publisher":
        with contextlib.ExitStack() as held:
            for feed in self._feeds:
                held.enter_context(_alone(self._run, feed.target))
                with feed.target.reached():
                    feed.target.open()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def published(self) -> list[Published]:
        """Where the run is, for whoever wants to look."""
        return [feed.target.published for feed in self._feeds]

    def publish(self, *, follow: bool = False, tell: Tell | None = None) -> RunState:
        """Brings the targets up to date.

        Args:
            follow: whether to go on until the run has ended or is interrupted. A target that cannot be reached
                meanwhile is tried again.
            tell: is told of such troubles.

        Returns:
            The run's state as it was published.

        Raises:
            ProviderError: a target cannot be reached, or does not take something.
        """
        while True:
            record = self._record(tell) if follow else self._run.record  # before the trials: they end before it
            last = not follow or record.state.ended or record.state is RunState.INTERRUPTED
            for feed in self._feeds:
                if last:
                    feed.look(record)
                else:
                    feed.try_to_look(record, tell)
            if last:
                return record.state
            time.sleep(LOOK)

    def _record(self, tell: Tell | None) -> "RunRecord":
        """The record, brought up to date once in a while; bears it if that fails."""
        if time.monotonic() >= self._next_refresh:
            self._next_refresh = time.monotonic() + REFRESH
            with self._patience.borne(), _told(tell):
                return self._run.refreshed()
        return self._run.record


class _Feed:
    """One target, with what it was told already.

    Each look costs as much as changed since the one before, and as the running trials have reported.
    """

    def __init__(self, run: "RunView", target: Target) -> None:
        self.target = target
        self._run = run
        self._revision = 0
        self._running: dict[int, tuple[Trial, int]] = {}  # with how many of its reports were told
        self._ended: dict[int, Trial] = {}
        self._state: RunState | None = None
        self._in_doubt = False
        self._patience = OutageTolerance()
        self._pause = self._next_try = 0.0

    def try_to_look(self, record: "RunRecord", tell: Tell | None) -> None:
        """Looks, unless the target could not be reached a moment ago; bears it if it cannot be reached now.

        Raises:
            ProviderError: it could not be reached for too long.
        """
        if time.monotonic() < self._next_try:
            return
        self._pause = min(2 * self._pause + LOOK, _LONGEST_PAUSE)
        self._next_try = time.monotonic() + self._pause  # unless it goes well
        with self._patience.borne(), _told(tell):
            self.look(record)
            self._pause = self._next_try = 0.0

    def look(self, record: "RunRecord") -> None:
        """Tells the target what is new. If it fails, the next look tells it again."""
        if self._in_doubt:
            with self.target.reached():
                self.target.find()
        self._in_doubt = True
        revision, changed = self._run.changes(self._revision)
        known = {trial.number: trial for trial, _ in self._running.values()}
        for _, trial in sorted({**known, **{trial.number: trial for trial in changed}}.items()):
            self._look_at(trial, changed=trial is not known.get(trial.number))
        self._ended |= {trial.number: trial for trial in changed if trial.state.ended}
        if changed or record.state is not self._state:
            with self.target.reached():
                self.target.take_run(record, list(self._ended.values()))
        self._revision, self._state = revision, record.state
        self._in_doubt = False

    def _look_at(self, trial: Trial, *, changed: bool) -> None:
        reports = [report for report in self._run.reports(trial.number) if report.attempt == trial.attempt]
        if changed or len(reports) != self._running[trial.number][1]:
            with self.target.reached():
                self.target.take_trial(trial, reports)
        if trial.state.ended:
            self._running.pop(trial.number, None)
        else:
            self._running[trial.number] = trial, len(reports)


@contextlib.contextmanager
def _told(tell: Tell | None) -> Iterator[None]:
    """Tells of a trouble, before it is borne or not."""
    try:
        yield
    except ProviderError as error:
        if tell is not None and error.retryable:
            tell(f"{error}; trying again")
        raise


@contextlib.contextmanager
def _alone(run: "RunView", target: Target) -> Iterator[None]:
    """Holds the lock of a run and a target; the system frees it when the process dies."""
    digest = hashlib.sha256(f"{target.name} {target.raw_address}".encode()).hexdigest()[:16]
    descriptor = os.open(run.folder / f"publishing-{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusy(f"another process publishes {run.id} to {target.name} at {target.address} already") from None
        yield
    finally:
        os.close(descriptor)
