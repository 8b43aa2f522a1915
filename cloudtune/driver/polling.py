"""Launchers that poll with pauses, as the place of their trials sends no news by itself; one for plain jobs of a service."""

import math
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cloudtune.driver.launcher import Ended, Launcher, Queued, Remark, TrialUpdate, finds_no_place
from cloudtune.driver.machine_choice import MachineChoice
from cloudtune.driver.outages import OutageTolerance
from cloudtune.driver.outputs import RunBrief, TrialOutputs
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import NO_REASON, ran_too_long
from cloudtune.errors import EmulatorEnded, ProviderError, QuotaError
from cloudtune.results.printed_metrics import last_lines
from cloudtune.store.records import Trial, TrialState


class PollingLauncher(Launcher):
    """Polls the place of its trials with pauses.

    Attributes:
        _updates: what `_poll_place` has found; the next `poll` returns it.
        _next_poll: when `_poll_place` is due, in seconds of `time.monotonic`; 0 for at once.
    """

    def __init__(self) -> None:
        self._updates: deque[TrialUpdate] = deque()
        self._next_poll = 0.0

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether there is anything to poll, such as running trials."""

    @abstractmethod
    def _poll_place(self) -> None:
        """Poll the place of the trials once, and add what is new to `_updates`.

        Raises:
            ProviderError: the place cannot be reached, or refuses.
        """

    @abstractmethod
    def _pause(self) -> float:
        """Return the seconds from the poll that has just ended to the next one."""

    def poll(self, timeout: float) -> Sequence[TrialUpdate]:
        if not self._updates:
            now = time.monotonic()
            if self.busy and now >= self._next_poll:
                self._poll_place()
                self._next_poll = time.monotonic() + self._pause()
            elif timeout > 0:
                time.sleep(min(timeout, max(self._next_poll - now, 0.0) if self.busy else timeout))
        updates = list(self._updates)
        self._updates.clear()
        return updates


class JobRunner(TrialOutputs):
    """Runs the trials of one run as plain jobs of a service, a job for each attempt; it makes no decisions.

    Between two polls it may keep the positions up to which it has read, and nothing else.

    Args:
        brief: the run's job and plan.

    Attributes:
        template: the part of the request that all jobs share, after `prepare`.
    """

    once: ClassVar[bool] = False
    """Whether the service makes no second job of the same name; see `Launcher.once`."""

    for_good: ClassVar[frozenset[str]] = frozenset()
    """Codes (`ProviderError.code`) of errors of `submit` that are final: another attempt would get them again."""

    def __init__(self, brief: RunBrief) -> None:
        self.brief = brief
        self.template: dict[str, Any] = {}

    def prepare(self) -> None:
        """Upload what all jobs share, such as code and data; called once, before the first `submit`.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """
        self.template = self.brief.request()

    @property
    def machines(self) -> tuple[str, ...]:
        """The machine types that a trial may get, the preferred one first; () where they are not known.

        A runner without `use_machine` has one, whatever the plan names.
        """
        own = self.brief.plan.machines
        if own is None:
            return ()
        return (own.kind, *own.others) if type(self).use_machine is not JobRunner.use_machine else (own.kind,)

    def use_machine(self, machine: str) -> None:
        """Change `template` so that the jobs to come run on another machine type; called where the plan names several.

        Args:
            machine: one of `machines`.
        """
        raise NotImplementedError(f"{type(self).__name__} knows one machine type")

    def machine_of(self, trial: Trial) -> str:  # noqa: ARG002  # of one type alone
        """Return the machine type that the existing job of an attempt was made for; called where there are several `machines`.

        Returns:
            One of `machines`; "" where the service does not say it.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """
        return ""

    @abstractmethod
    def place(self, trial: Trial) -> str:
        """Return the name of an attempt's job, before the job is made; the job can be found by it alone.

        Args:
            trial: with its number and its attempt.
        """

    def variables(self, trial: Trial) -> dict[str, str]:
        """Return the environment variables by which an attempt's job knows its number, its seed and the attempt."""
        number = str(trial.number)
        return {"CLOUDTUNE_TRIAL": number, "CLOUDTUNE_SEED": number, "CLOUDTUNE_ATTEMPT": str(trial.attempt)}

    @abstractmethod
    def submit(self, trial: Trial) -> None:
        """Create the job of an attempt; do nothing if the job exists, as after a call whose answer was lost.

        Args:
            trial: with its parameters, its number and its attempt.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @abstractmethod
    def find(self, trial: Trial) -> bool:
        """Return whether the job of an attempt exists, running or ended, so that it can be polled.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @abstractmethod
    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        """Poll the service once about jobs, and return snapshots of those with news.

        Make few calls however many jobs there are. Return a job as ended only when all its reports have been read. After
        an error, return with the next call what had been read before.

        Args:
            trials: that were submitted or found, and have not ended.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @property
    def ready(self) -> bool:
        """Whether jobs can be submitted: not while machines start that are kept for all of them.

        Raises:
            ProviderError: the machines cannot be had.
        """
        return True

    @property
    def kept(self) -> str:
        """Name what is kept at the service for the jobs of the run, and costs until `release`; "" for nothing."""
        return ""

    def release(self) -> None:  # most keep nothing
        """Give back what is kept at the service for the jobs of the run; nothing where there is no such thing.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    def close(self) -> None:  # most keep nothing open
        """End what was opened to follow jobs, such as connections; called once, when the driver ends. The jobs go on."""

    @property
    def has_more(self) -> bool:
        """Whether more can be read at once, so that the next poll should come soon."""
        return False

    @abstractmethod
    def stop(self, place: str) -> None:
        """Ask the job of an attempt to end; do nothing if it has ended, or was never made.

        Args:
            place: the job's name, as `place` returns it.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """


_ROOM_EVERY = 30.0
"""Seconds after which a job that a quota refused is submitted again, though none of the run has ended."""

_ROOM_WITHIN = 300.0
"""Seconds within which a service frees what the last job of a run has held; then its quota is taken for one of other users."""

_SOON = 0.2
"""Seconds until the next poll of a runner that has more to read."""


@dataclass(slots=True)
class _Attempt:
    """An attempt that runs, or could not be submitted.

    Attributes:
        trial: as the driver has it.
        started: seconds since 1970 at which its program started; None before, or where the service has not said.
        ended: its end, once that is known.
        machine: the machine type that its job was made for; "" for that of the plan.
        waiting: why it waits, as was told last; "" for nothing.
        refused: whether it was not submitted, since a quota is used up by others, and is submitted later.
    """

    trial: Trial
    started: float | None = None
    ended: Ended | None = None
    machine: str = ""
    waiting: str = ""
    refused: bool = False

    @property
    def running(self) -> bool:
        """Whether it has a job that has not ended."""
        return self.ended is None and not self.refused


class JobLauncher(PollingLauncher):
    """Launches trials as jobs of a service through a `JobRunner`, and polls it while they run.

    A trial that a quota refuses waits for room as long as others of the run have it; where none has, it ends.

    Args:
        runner: prepared by the constructor.

    Attributes:
        tolerance: of outages of the service.
        waits_for_room: whether trials wait for a quota, or end at once, such as where another place may have room.

    Raises:
        ProviderError: the service cannot be reached, or refuses.
    """

    def __init__(self, runner: JobRunner) -> None:
        super().__init__()
        self._runner = runner
        self._running: dict[str, _Attempt] = {}
        self.tolerance = OutageTolerance()
        self.waits_for_room = True
        self._held_room = -math.inf  # when a job of the run was last known to run, in seconds of `time.monotonic`
        self._next_try = 0.0  # when a refused job is submitted again, in seconds of `time.monotonic`
        self.once = runner.once
        runner.prepare()
        self._machines = MachineChoice(runner.machines)
        self._machine = self._machines.current

    def room(self) -> int | None:
        return 0 if self._refused or not self._runner.ready else None

    @property
    def _refused(self) -> list[_Attempt]:
        """The attempts that wait for a quota, the first one first."""
        return [each for each in self._running.values() if each.refused and each.ended is None]

    def place(self, trial: Trial) -> str:
        return self._runner.place(trial)

    def outlives(self, trial: Trial) -> bool:  # noqa: ARG002  # the service runs its jobs without a driver
        return True

    def printed(self, trial: Trial) -> Sequence[str]:
        return last_lines(self._runner.lines(trial, lambda: True))

    def launch(self, trial: Trial) -> None:
        before = self._refused
        attempt = self._running[self.place(trial)] = _Attempt(trial)
        if before:
            self._wait_for_room(attempt, before[0].waiting)
        else:
            self._start(attempt)

    def _start(self, attempt: _Attempt) -> None:
        """Submit an attempt; where that fails, it waits for room, or ends."""
        try:
            while not self._submit(attempt):
                pass
        except EmulatorEnded:  # the failure is not the trial's
            raise
        except ProviderError as error:
            if isinstance(error, QuotaError) and self._may_wait(attempt):
                self._wait_for_room(attempt, f"room ({error})")
                return
            retry = error.code not in self._runner.for_good
            unplaced = finds_no_place(error)
            trial = attempt.trial
            attempt.ended = Ended(trial.number, trial.attempt, str(error), retry=retry, unplaced=unplaced, billed=0.0)
        if attempt.refused:
            attempt.refused = False
            self._tell_wait(attempt, "")

    def _may_wait(self, attempt: _Attempt) -> bool:
        """Return whether an attempt that a quota refuses gets room when another of the run ends."""
        now = time.monotonic()
        if any(each.running for each in self._running.values() if each is not attempt):
            self._held_room = now
        return self.waits_for_room and now - self._held_room < _ROOM_WITHIN

    def _wait_for_room(self, attempt: _Attempt, why: str) -> None:
        attempt.refused = True
        self._tell_wait(attempt, attempt.waiting or why)
        self._next_try = time.monotonic() + _ROOM_EVERY

    def _start_refused(self, *, freed: bool) -> None:
        """Submit the attempts that wait for a quota, until one is refused again.

        Args:
            freed: whether a job of the run has ended since the last time.
        """
        if not freed and time.monotonic() < self._next_try:
            return
        for attempt in self._refused:
            self._start(attempt)
            if attempt.refused:
                return

    def _submit(self, attempt: _Attempt) -> bool:
        """Submit an attempt for the machine type that has room; return False if it has none and another is to be tried."""
        if self._machines.current != self._machine:
            self._machine = self._machines.current
            self._runner.use_machine(self._machine)
        attempt.machine = self._machine
        try:
            self._runner.submit(attempt.trial)
        except QuotaError as error:
            if not self._machines.without_room(attempt.machine):
                raise
            self._updates.append(self._remark(attempt, str(error)))
            return False
        return True

    def _remark(self, attempt: _Attempt, why: str) -> Remark:
        said = f"{attempt.machine} has no room ({why}); {self._machines.current} is tried next"
        return Remark(attempt.trial.number, attempt.trial.attempt, said)

    def adopt(self, trial: Trial) -> bool:
        if not self._runner.find(trial):
            return False
        machine = self._runner.machine_of(trial) if len(self._runner.machines) > 1 else ""
        self._running[self.place(trial)] = _Attempt(trial, machine=machine, waiting=trial.awaited)
        return True

    def machine(self, trial: Trial) -> str:
        attempt = self._running.get(trial.place)
        return "" if attempt is None else attempt.machine

    def stop(self, number: int) -> None:
        for place, attempt in self._running.items():
            if attempt.trial.number != number or attempt.ended is not None:
                continue
            if attempt.refused:
                attempt.ended = Ended(number, attempt.trial.attempt, "it was stopped before it had room", billed=0.0)
            else:
                self._runner.stop(place)

    def billed(self, trial: Trial) -> float:
        attempt = self._running.get(trial.place)
        return 0.0 if attempt is None or attempt.started is None else max(time.time() - attempt.started, 0.0)

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def _pause(self) -> float:
        interval = self._runner.brief.interval
        return min(_SOON, interval) if self._runner.has_more else interval

    def _poll_place(self) -> None:
        with self.tolerance.tolerated():
            self._ask()

    def _ask(self) -> None:
        asked, freed = [each.trial for each in self._running.values() if each.running], False
        for seen in self._runner.poll(asked) if asked else ():
            self._updates.extend(seen.reports)
            attempt = self._running[seen.place]
            attempt.started = seen.started or attempt.started
            self._tell_wait(attempt, seen.waiting)
            if seen.state.ended:
                freed, self._held_room = True, time.monotonic()
                ended = replace(self._end(attempt.trial, seen), billed=_billed(attempt, seen), machine=attempt.machine)
                attempt.ended = self._elsewhere(attempt, ended) if seen.unplaced else ended
        over = {place: attempt.ended for place, attempt in self._running.items() if attempt.ended is not None}
        for place in over:
            del self._running[place]
        self._updates.extend(over.values())
        self._start_refused(freed=freed)

    def _tell_wait(self, attempt: _Attempt, why: str) -> None:
        """Tell the driver that an attempt waits, or does no more, where that has changed."""
        if why != attempt.waiting:
            self._updates.append(Queued(attempt.trial.number, attempt.trial.attempt, why))
        attempt.waiting = why

    def _end(self, trial: Trial, seen: TrialSnapshot) -> Ended:
        """Return the end of an attempt; the driver decides whether it ends the trial."""
        if seen.state is TrialState.COMPLETED:
            return Ended(trial.number, trial.attempt)
        if seen.too_long:
            return Ended(trial.number, trial.attempt, ran_too_long(self._runner.brief.job))
        failure = seen.reason or NO_REASON
        return Ended(
            trial.number,
            trial.attempt,
            failure,
            retry=seen.retry,
            lost=seen.lost,
            preempted=seen.preempted,
            unplaced=seen.unplaced,
        )

    def _elsewhere(self, attempt: _Attempt, ended: Ended) -> Ended:
        """Return the end of an attempt that got no machine: the driver starts it again where another type is to be tried."""
        if not self._machines.without_room(attempt.machine or self._machine):
            return ended
        self._updates.append(self._remark(attempt, ended.failure))
        return replace(ended, lost=True)

    def close(self) -> None:
        """Leave jobs that still run to the service: a resumed driver adopts them."""
        self._runner.close()


def _billed(attempt: _Attempt, seen: TrialSnapshot) -> float:
    """Return the seconds that are billed for an attempt that has ended: none if it never started."""
    if seen.billed is not None:
        return seen.billed
    return 0.0 if attempt.started is None else max((seen.ended or time.time()) - attempt.started, 0.0)
