"""What can run single trials: all that the driver needs of a place."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from cloudtune.states import Report, Trial


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
        place: where the launcher keeps what is left of it; "" for no change.
    """

    number: int
    attempt: int
    failure: str = ""
    retry: bool = False
    lost: bool = False
    place: str = ""


class Launcher(ABC):
    """Runs single trials somewhere."""

    def place(self, trial: Trial) -> str:  # noqa: ARG002  # what most launchers need not know
        """The name that the trial will have where it runs, known before it is launched; "" for none."""
        return ""

    @abstractmethod
    def launch(self, trial: Trial) -> None:
        """Starts a trial. Whatever goes wrong is told by `poll` as its end."""

    @abstractmethod
    def adopt(self, trial: Trial) -> bool:
        """Takes over a trial that an earlier driver launched; `poll` tells all of it from its first report.

        Returns:
            False if it neither runs nor left how it ended: it has to be started again.
        """

    @abstractmethod
    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        """What happened, in order; waits at most `timeout` seconds for something to happen."""

    @abstractmethod
    def stop(self, number: int) -> None:
        """Asks a running trial to end, and makes it after its grace time; its end comes by `poll`."""

    @abstractmethod
    def close(self) -> None:
        """Ends what still runs and lets go of everything."""
