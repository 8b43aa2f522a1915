"""Launchers that ask once in a while, since what runs their trials tells nothing by itself; one for plain jobs of a service."""

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cloudtune.driver.launcher import Ended, Happening, Launcher, finds_no_place
from cloudtune.driver.outages import OutageTolerance
from cloudtune.driver.outputs import RunBrief, TrialOutputs
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import NO_REASON, ran_too_long
from cloudtune.errors import EmulatorEnded, ProviderError
from cloudtune.results.printed_metrics import last_lines
from cloudtune.store.records import Trial, TrialState


class LookingLauncher(Launcher):
    """Learns what happens to trials by looking, with pauses between two looks.

    Attributes:
        _happened: what looks have found; taken by the next `poll`.
        _next_look: when the next look is due, in seconds of `time.monotonic`; 0 for with the next poll.
    """

    def __init__(self) -> None:
        self._happened: deque[Happening] = deque()
        self._next_look = 0.0

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether there is anything to look at."""

    @abstractmethod
    def _look(self) -> None:
        """Look once, and add what is new to `_happened`.

        Raises:
            ProviderError: what runs the trials cannot be reached, or refuses.
        """

    @abstractmethod
    def _pause(self) -> float:
        """Return the seconds between the look that has just ended and the next one."""

    def poll(self, timeout: float) -> Sequence[Happening]:
        if not self._happened:
            now = time.monotonic()
            if self.busy and now >= self._next_look:
                self._look()
                self._next_look = time.monotonic() + self._pause()
            elif timeout > 0:
                time.sleep(min(timeout, max(self._next_look - now, 0.0) if self.busy else timeout))
        happened = list(self._happened)
        self._happened.clear()
        return happened


class JobRunner(TrialOutputs):
    """Runs the trials of one run as plain jobs of a service, a job for each attempt. It decides nothing, and keeps nothing.

    It may keep where it has read to between two polls.

    Args:
        brief: what is asked for the run.

    Attributes:
        template: what the requests of all its jobs share, after `prepare`.
    """

    once: ClassVar[bool] = False
    """Whether the service itself makes no second job of a place; see `Launcher.once`."""

    for_good: ClassVar[frozenset[str]] = frozenset()
    """Codes of errors (`ProviderError.code`) of `submit` that another attempt would get again."""

    def __init__(self, brief: RunBrief) -> None:
        self.brief = brief
        self.template: dict[str, Any] = {}

    def prepare(self) -> None:
        """Upload what all jobs share, such as code and data; called once, before the first `submit`.

        Raises:
            ProviderError: the service refused it, or cannot be reached.
        """
        self.template = self.brief.request()

    @abstractmethod
    def place(self, trial: Trial) -> str:
        """Return the name of an attempt's job, from which alone the job can be found; it is known before the job is made."""

    @abstractmethod
    def submit(self, trial: Trial) -> None:
        """Make the job of an attempt; one that is there already was made by a call whose answer was lost.

        Args:
            trial: with its parameters, its number and its attempt.

        Raises:
            ProviderError: the service refused it, or cannot be reached.
        """

    @abstractmethod
    def find(self, trial: Trial) -> bool:
        """Return whether there is a job of an attempt, running or ended; `poll` may be asked about it then.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @abstractmethod
    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        """Ask the service about jobs once, by few calls however many there are; return those of which something is new.

        A job has ended only when all that it reported has been read. What was read before an error is not lost: the next
        poll has it.

        Args:
            trials: that were submitted or found, and have not ended.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @property
    def hurried(self) -> bool:
        """Whether there is more to ask for at once, so that the next poll should come soon."""
        return False

    @abstractmethod
    def stop(self, place: str) -> None:
        """Ask the job of an attempt to end; nothing if it has, or was never made.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """


_SOON = 0.2
"""Seconds until the next poll of a runner that is hurried."""


@dataclass(slots=True)
class _Attempt:
    """What is known of an attempt that runs, or could not be submitted."""

    trial: Trial
    ended: Ended | None = None


class PolledLauncher(LookingLauncher):
    """Launches trials by a runner, and polls it as long as they run.

    Args:
        runner: which is prepared here.

    Attributes:
        patience: with outages.
    """

    def __init__(self, runner: JobRunner) -> None:
        super().__init__()
        self._runner = runner
        self._running: dict[str, _Attempt] = {}
        self.patience = OutageTolerance()
        self.once = runner.once
        runner.prepare()

    def place(self, trial: Trial) -> str:
        return self._runner.place(trial)

    def outlives(self, trial: Trial) -> bool:  # noqa: ARG002  # jobs are the service's, all of them
        return True

    def printed(self, trial: Trial) -> Sequence[str]:
        return last_lines(self._runner.lines(trial, lambda: True))

    def launch(self, trial: Trial) -> None:
        attempt = self._running[self.place(trial)] = _Attempt(trial)
        try:
            self._runner.submit(trial)
        except EmulatorEnded:  # which says nothing of the trial
            raise
        except ProviderError as error:
            retry = error.code not in self._runner.for_good
            attempt.ended = Ended(trial.number, trial.attempt, str(error), retry=retry, unplaced=finds_no_place(error))

    def adopt(self, trial: Trial) -> bool:
        if not self._runner.find(trial):
            return False
        self._running[self.place(trial)] = _Attempt(trial)
        return True

    def stop(self, number: int) -> None:
        for place, attempt in self._running.items():
            if attempt.trial.number == number and attempt.ended is None:
                self._runner.stop(place)

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def _pause(self) -> float:
        interval = self._runner.brief.interval
        return min(_SOON, interval) if self._runner.hurried else interval

    def _look(self) -> None:
        with self.patience.borne():
            self._ask()

    def _ask(self) -> None:
        asked = [each.trial for each in self._running.values() if each.ended is None]
        for seen in self._runner.poll(asked) if asked else ():
            self._happened.extend(seen.reports)
            if seen.state.ended:
                attempt = self._running[seen.place]
                attempt.ended = self._end(attempt.trial, seen)
        for place, attempt in list(self._running.items()):
            if attempt.ended is not None:
                del self._running[place]
                self._happened.append(attempt.ended)

    def _end(self, trial: Trial, seen: TrialSnapshot) -> Ended:
        """Return how an attempt ended; whether that is the trial's end is the driver's to say."""
        if seen.state is TrialState.COMPLETED:
            return Ended(trial.number, trial.attempt)
        if seen.too_long:
            return Ended(trial.number, trial.attempt, ran_too_long(self._runner.brief.job))
        failure = seen.reason or NO_REASON
        return Ended(trial.number, trial.attempt, failure, retry=seen.retry, unplaced=seen.unplaced)

    def close(self) -> None:
        """Let go of jobs that still run: they are the service's, and a resume takes them over."""
