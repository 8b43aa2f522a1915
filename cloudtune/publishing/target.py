"""The interface of targets to which runs are published."""

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
    """Where a run is published.

    Attributes:
        target: the target's name: ``optuna``, ``mlflow``, ``tensorboard``, or that of another package's.
        address: the target's address, with passwords masked.
        name: the name of the run at the target.
        look: how to view it: a command or a URL.
        notes: what the target cannot hold, or holds under another name.
    """

    target: str
    address: str
    name: str
    look: str
    notes: tuple[str, ...]


class Target(ABC):
    """The base class of targets, each of which receives one run and its updates.

    The publisher opens the target once, then calls `take_trial` for each trial that has changed and `take_run` behind
    them, as often as something is new. After an error it calls `find`, and repeats the calls of that update. So what a
    target writes it must recognise later, also in another process: publishing again duplicates nothing.

    A package adds a target by an entry point of the group ``cloudtune.targets`` that refers to the subclass; it is then
    given as ``publish --to NAME=ADDRESS`` and ``run.publish(to={name: address})``::

        class BoardTarget(Target):
            name = "board"

            @property
            def place(self) -> str:
                return f"board {self.run_id}"

            ...

    Args:
        run: the run to publish.
        address: the target's address as given by the user.

    Raises:
        ConfigError: the address is invalid, or a package that the target needs is not installed.

    Attributes:
        run_id: the run's id.
        job: its spec.
        record: the run's record when the target was made.
        raw_address: the address as given by the user, which may contain a password.
        address: the address with passwords masked, for messages.
    """

    name: ClassVar[str]
    """The target's name: that of its entry point; for cloudtune's own targets also the name of their extra."""

    trouble: tuple[type[Exception], ...] = (OSError,)
    """The exceptions that its library raises if the target cannot be reached or refuses something."""

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
        """The name of the run at the target, e.g. ``study digits-svc-2f9c31aa``."""

    @property
    @abstractmethod
    def look(self) -> str:
        """How to view the run at the target: a command or a URL."""

    @abstractmethod
    def open(self) -> None:
        """Connect to the target, find what it has of the run, and create what must exist before the first trial.

        Called once, within `reached`, before any other method.

        Raises:
            ConfigError: the run's name is taken by something else.
        """

    def find(self) -> None:  # noqa: B027  # optional
        """Find again what the target has of the run, after a failed call that may have been carried out.

        Called within `reached`, before the next update. Does nothing by default.
        """

    @abstractmethod
    def take_trial(self, trial: "Trial", reports: Sequence["Report"]) -> None:
        """Create or update a trial at the target; must be idempotent. Called for every trial that has changed.

        Args:
            trial: the trial's current state.
            reports: all reports of its last attempt, and of those that it went on from.
        """

    @abstractmethod
    def take_run(self, record: "RunRecord", ended: Sequence["Trial"]) -> None:
        """Update the run as a whole at the target, after its trials; must be idempotent.

        Args:
            record: the run's current record.
            ended: its ended trials in the order in which their ends were stored.
        """

    def note(self, message: str) -> None:
        """Add a note for the user about how the run is stored at the target; equal notes count once."""
        self._notes[message] = None

    @property
    def published(self) -> Published:
        """Where the run is published, with the notes so far."""
        return Published(self.name, self.address, self.place, self.look, tuple(self._notes))

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Convert the exceptions in `trouble` to ProviderError, within the context; calls of the target run in it.

        Raises:
            ProviderError: the target cannot be reached or refuses something; retryable.
        """
        try:
            yield
        except CloudtuneError:
            raise
        except self.trouble as error:
            original = getattr(error, "orig", None) or error  # SQLAlchemy wraps the database's error
            text = without_secrets(str(original), self.raw_address).strip() or type(original).__name__
            # Without the cause, which may contain the password.
            raise ProviderError(f"{self.name} at {self.address}: {text}", retryable=True) from None


def need(module: str, extra: str) -> Any:  # a module of an optional package
    """Import and return a module of an optional package.

    Raises:
        ConfigError: the package is not installed; the message has the install command.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = error.name or module
        raise ConfigError(f"publishing to {extra} needs {missing}; install it with: {install(extra)}") from None
