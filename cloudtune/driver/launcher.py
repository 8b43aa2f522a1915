"""The interface between the driver and the place that runs its trials: launch one trial, poll, stop."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from cloudtune.errors import CredentialError, ProviderError, QuotaError
from cloudtune.store.records import Report, Trial


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an attempt at a trial.

    Attributes:
        number: the trial.
        attempt: which start of it, from 1.
        failure: why it failed; "" for success.
        retry: whether another attempt may succeed.
        lost: whether the failure is not the trial's own (its machine or its keeper died): the driver starts it again
            without counting a retry, as long as that helps: see `cloudtune.driver.attempts.Attempts`.
        preempted: whether it was lost because its place says that it needed the machine for others: the trial is not to blame,
            and is started again as often as it takes.
        unplaced: whether it never ran, because the place has no room for it or cannot be reached: another place may.
            With `lost` it is to be started again there, as often as it takes.
        place: where the launcher keeps its files (`Trial.place`); "" for no change.
        billed: seconds that are billed for each of its machines; None for those since it was launched.
        machine: the machine type that it got; "" for that of the plan.
    """

    number: int
    attempt: int
    failure: str = ""
    retry: bool = False
    lost: bool = False
    preempted: bool = False
    unplaced: bool = False
    place: str = ""
    billed: float | None = None
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """A message about a running trial, which becomes an event of the run.

    Attributes:
        number: the trial.
        attempt: which start of it, from 1.
        text: the message.
    """

    number: int
    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class Queued:
    """A launched attempt waits for room at its place, or does no more; until then it is shown as waiting.

    Attributes:
        number: the trial.
        attempt: which start of it, from 1.
        why: what it waits for, after "waits for"; the same text as long as nothing has changed. "" once it has begun.
    """

    number: int
    attempt: int
    why: str


TrialUpdate = Report | Remark | Queued | Ended
"""What `Launcher.poll` returns about a trial."""


def finds_no_place(error: ProviderError) -> bool:
    """Return whether the launch of a trial failed by the place alone: its quota, its credentials, or an outage."""
    return error.retryable or isinstance(error, QuotaError | CredentialError)


class Launcher(ABC):
    """Runs single trials somewhere. The driver calls it from one thread."""

    once: bool = False
    """Whether launching the same attempt twice makes one job, whose name is derived from the attempt."""

    most: int | None = None
    """How many trials it runs at once, as far as that is known before; None for no limit but the job's own."""

    def outlives(self, trial: Trial) -> bool:  # noqa: ARG002  # most launchers end all that they launched
        """Return whether a running trial goes on when the launcher is closed, so that the next driver can adopt it."""
        return False

    def place(self, trial: Trial) -> str:  # noqa: ARG002  # most launchers need none
        """Return the name that the trial will have where it runs, before it is launched; "" for none.

        The driver stores it as `Trial.place`.
        """
        return ""

    def room(self) -> int | None:
        """Return how many more trials can be launched now; None for no limit but the job's own."""
        return None

    def has_room_for(self, trial: Trial) -> bool:  # noqa: ARG002  # most launchers run any trial anywhere
        """Return whether a trial can be launched now, where there is room for any.

        Args:
            trial: PAUSED where it goes on from a checkpoint, which may lie where there is no room at the moment.
        """
        return True

    def printed(self, trial: Trial) -> Sequence[str]:  # noqa: ARG002  # a launcher may be unable to read them
        """Return lines that an ended trial printed, a few hundred at most; none where they cannot be read.

        The driver searches them for metrics that look like a missing objective.
        """
        return ()

    def billed(self, trial: Trial) -> float:
        """Return the seconds that are billed so far for each machine of a running trial; those since its launch by default."""
        return 0.0 if trial.started is None else time.time() - trial.started

    def machine(self, trial: Trial) -> str:  # noqa: ARG002  # most launchers have one kind of machine
        """Return the machine type that a running trial has, as `Ended.machine` will say it; "" for that of the plan."""
        return ""

    @abstractmethod
    def launch(self, trial: Trial) -> None:
        """Start an attempt at a trial; return at once.

        A failure to start is no exception: `poll` returns it as the attempt's end.

        Args:
            trial: with its number, parameters and attempt.

        Raises:
            StoreError: no process can be started on this machine.
            EmulatorEnded: the emulator of the service has ended.
        """

    @abstractmethod
    def adopt(self, trial: Trial) -> bool:
        """Take over an attempt that an earlier driver launched; `poll` then returns all its updates from the first.

        Of a queued one that has begun meanwhile `poll` returns `Queued` with "", as nothing else says so.

        Args:
            trial: RUNNING in the store, or queued.

        Returns:
            Whether the attempt runs, or has left how it ended. False if it was lost or ended by its driver: the driver
            then starts it again.

        Raises:
            ProviderError: the place cannot be reached, or refuses.
        """

    @abstractmethod
    def poll(self, timeout: float) -> Sequence[TrialUpdate]:
        """Return the updates since the last call, in order.

        Args:
            timeout: seconds to wait for the first update, at least 0; fewer updates or none after that.

        Raises:
            ProviderError: the place cannot be reached, or refuses.
            StoreError: no process can be started on this machine.
        """

    @abstractmethod
    def stop(self, number: int) -> None:
        """Ask a running trial to end, and kill it after its grace time; do nothing if it has ended.

        Return at once; `poll` returns the attempt's end.

        Args:
            number: of the trial.

        Raises:
            ProviderError: the place cannot be reached, or refuses.
        """

    @abstractmethod
    def close(self) -> None:
        """End the running trials that do not outlive the driver, and release everything.

        Called once, after the last trial or an exception of the driver. A trial that is ended by it has not failed:
        leave a record that its driver ended it, so that `adopt` of the next driver returns False.
        """
