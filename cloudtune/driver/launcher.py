"""Launchers of single trials: all that the driver needs of a place."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from cloudtune.errors import CredentialError, ProviderError, QuotaError
from cloudtune.store.records import Report, Trial


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial's program has ended.

    Attributes:
        number: the trial.
        attempt: which start of it.
        failure: why it failed; "" when it ended well.
        retry: whether another attempt may end better.
        lost: whether nothing is known against the trial itself (its machine or its keeper died): it is started
            again without counting as a retry.
        unplaced: whether it never ran, because the place has no room for it or cannot be reached: another place may.
        place: where the launcher keeps what is left of it; "" for no change.
    """

    number: int
    attempt: int
    failure: str = ""
    retry: bool = False
    lost: bool = False
    unplaced: bool = False
    place: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to be said of a running trial: an event of the run.

    Attributes:
        number: the trial.
        attempt: which start of it.
        text: what is said.
    """

    number: int
    attempt: int
    text: str


Happening = Report | Remark | Ended
"""What `Launcher.poll` returns of a trial."""


def finds_no_place(error: ProviderError) -> bool:
    """Return whether an error at the launch of a trial says something of the place alone: its quota, or an outage."""
    return error.retryable or isinstance(error, QuotaError | CredentialError)


class Launcher(ABC):
    """Runs single trials somewhere."""

    once: bool = False
    """Whether an attempt that is launched again is still the same one, by its name, wherever the first launch has got to."""

    def outlives(self, trial: Trial) -> bool:  # noqa: ARG002  # most launchers end all that they launched
        """Return whether a running trial goes on when the launcher is closed, so that the next driver can take it over."""
        return False

    def place(self, trial: Trial) -> str:  # noqa: ARG002  # what most launchers need not know
        """Return the name that the trial will have where it runs, known before it is launched; "" for none."""
        return ""

    def room(self) -> int | None:
        """Return how many more trials can be launched now; None for no limit but the job's own."""
        return None

    def printed(self, trial: Trial) -> Sequence[str]:  # noqa: ARG002  # what a launcher may not know
        """Return lines that an ended trial printed, some hundreds at most, to say why its objective was not among them.

        None where they cannot be read.
        """
        return ()

    @abstractmethod
    def launch(self, trial: Trial) -> None:
        """Start a trial. What goes wrong comes by `poll`, as its end."""

    @abstractmethod
    def adopt(self, trial: Trial) -> bool:
        """Take over a trial that an earlier driver launched; `poll` returns all of it from its first report.

        Returns:
            False if it neither runs nor left how it ended, or was ended by its driver: it has to be started again.
        """

    @abstractmethod
    def poll(self, timeout: float) -> Sequence[Happening]:
        """Return what happened, in order; wait at most `timeout` seconds for something to happen."""

    @abstractmethod
    def stop(self, number: int) -> None:
        """Ask a running trial to end, and make it after its grace time; its end comes by `poll`."""

    @abstractmethod
    def close(self) -> None:
        """End what still runs and does not outlive its driver, and let go of everything.

        It comes after the last trial, or when the driver breaks: what it ends has not failed. Whatever is left of such a
        trial says that its driver ended it, so that `adopt` of the next driver does not take that for the trial's own end.
        """
