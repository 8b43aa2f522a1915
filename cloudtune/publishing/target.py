"""What a place is that a run is published to."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from cloudtune.errors import CloudtuneError, ConfigError, ProviderError
from cloudtune.plugins.extras import install
from cloudtune.publishing.address import masked_address, without_secrets

if TYPE_CHECKING:
    from cloudtune.results.view import RunView
    from cloudtune.store.records import Report, RunRecord, Trial


@dataclass(frozen=True, slots=True)
class Published:
    """Where a run was published to.

    Attributes:
        target: ``optuna``, ``mlflow`` or ``tensorboard``.
        address: of the target, with its passwords masked.
        name: what the run is there.
        look: how to look at it: a command or a URL.
        notes: what the target cannot hold, or has by another name.
    """

    target: str
    address: str
    name: str
    look: str
    notes: tuple[str, ...]


class Target(ABC):
    """Takes one run, and keeps what it has of it up to date.

    Args:
        run: what to publish.
        address: where to, as the user gave it.
    """

    name: ClassVar[str]
    """What it is called, also as an extra of cloudtune."""

    trouble: tuple[type[Exception], ...] = (OSError,)
    """What its library raises where the target cannot be reached, or does not take something."""

    def __init__(self, run: "RunView", address: str) -> None:
        self.run_id = run.id
        self.job = run.job
        self.record = run.record
        self.raw_address = address
        self.address = masked_address(address)
        self._notes: dict[str, None] = {}

    @property
    @abstractmethod
    def place(self) -> str:
        """What the run is called there."""

    @property
    @abstractmethod
    def look(self) -> str:
        """How to look at it."""

    @abstractmethod
    def open(self) -> None:
        """Reaches the target, finds what it has of the run, and makes what must be there before its first trial.

        Raises:
            ConfigError: something else has the run's place.
        """

    def find(self) -> None:  # noqa: B027  # most need not know
        """Finds out anew what the target has of the run: a call failed, and may have done its work all the same."""

    @abstractmethod
    def take_trial(self, trial: "Trial", reports: Sequence["Report"]) -> None:
        """Brings what the target has of a trial up to date; doing it twice is as good as once.

        Args:
            trial: as it is now.
            reports: all of its last attempt.
        """

    @abstractmethod
    def take_run(self, record: "RunRecord", ended: Sequence["Trial"]) -> None:
        """Brings what the target has of the run as a whole up to date, after its trials.

        Args:
            record: how the run is now.
            ended: its ended trials in the order in which the store came to know it.
        """

    def note(self, message: str) -> None:
        """Keeps what a user has to know of how things are there; the same message once."""
        self._notes[message] = None

    @property
    def published(self) -> Published:
        """Where the run is, for whoever wants to look."""
        return Published(self.name, self.address, self.place, self.look, tuple(self._notes))

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Makes one kind of error of whatever the target's library raises.

        Raises:
            ProviderError: the target cannot be reached, or does not take something; a later try may go better.
        """
        try:
            yield
        except CloudtuneError:
            raise
        except self.trouble as error:
            told = getattr(error, "orig", None) or error  # SQLAlchemy wraps what the database said
            said = without_secrets(str(told), self.raw_address).strip() or type(told).__name__
            # The cause stays behind: it may tell the password.
            raise ProviderError(f"{self.name} at {self.address}: {said}", retryable=True) from None


def need(module: str, extra: str) -> Any:  # a module of an optional package
    """A module of an optional package.

    Raises:
        ConfigError: it is not installed; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = error.name or module
        raise ConfigError(f"publishing to {extra} needs {missing}; install it with: {install(extra)}") from None
