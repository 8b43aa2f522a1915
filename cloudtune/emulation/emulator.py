"""The base of emulators: they start and stop, count their calls, and have a folder, faults and mounts."""

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from cloudtune.emulation.authority import Authority, Policy, policies_in
from cloudtune.emulation.faults import Faults
from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.workplace import Workplace
from cloudtune.errors import ConfigError

Kind = TypeVar("Kind", bound=Faults)


class Emulator(ABC, Generic[Kind]):
    """A cloud service on this machine; a context manager, which serves from its entering to its leaving.

    A distribution names its subclass by an entry point of the group ``cloudtune.emulators`` that is called like the
    provider. ``cloudtune emulate`` makes one of the arguments `port`, `images` and `mounts` (see
    `cloudtune.emulation.images.Images`), all of which have defaults, and whatever else a test wants.

    Args:
        kind: the service's short name, for the folder's.
        folder: for what it keeps; None for one that is removed at the end.
        mounts: folders whose files are in the storage at the start, by their addresses there.
        faults: what goes wrong on purpose.
        policy: see `enforce`.
        machine_start: seconds that machines take to start for a job, unless they are kept from an earlier one.

    Attributes:
        faults: what goes wrong on purpose; may be changed at any time.
        calls: how often each operation was called.
        authority: decides which actions are permitted; see `enforce`.
        machine_starts: how often machines started.
    """

    def __init__(
        self,
        kind: str,
        folder: Path | None,
        mounts: Mapping[str, str | Path],
        faults: Kind,
        policy: Mapping[str, Any] | None = None,
        machine_start: float = 0.0,
    ) -> None:
        self.machine_starts = MachineStarts(machine_start)
        self.faults = faults
        self.authority = Authority()
        self.enforce(policy)
        self.calls: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._workplace = Workplace(folder, kind)
        self._mounts = {uri: Path(place) for uri, place in mounts.items()}

    @classmethod
    def standing_in(cls, mounts: Mapping[str, Path]) -> Self:
        """Return an emulator that stands in for a user's own account: whatever a job names of that must be there.

        Args:
            mounts: folders whose files are in the storage at the start, by their addresses there.
        """
        return cls(mounts=mounts)  # type: ignore[call-arg]  # of the subclass, see above

    @abstractmethod
    def start(self) -> Self:
        """Serve from now on.

        Raises:
            ConfigError: the port is taken, or a mounted folder is not there.
        """

    @abstractmethod
    def stop(self) -> None:
        """End all jobs with their processes and threads, close the ports, and remove the folder unless it is given."""

    @staticmethod
    def read_policy(document: Any) -> Policy:  # noqa: ARG004  # none here
        """Return the policy of one principal, from what the service calls one.

        Raises:
            ValueError: it is something else.
            ConfigError: this emulator enforces none.
        """
        raise ConfigError("this emulator enforces no policies; leave --policy away")

    def enforce(self, policy: Mapping[str, Any] | None) -> None:
        """Permit from now on what a policy allows, and answer everything else as the service does.

        Args:
            policy: the policies of ``caller``, the clients with the emulator's credentials, and of ``identity``, as which
                jobs run, as ``cloudtune check --policy`` prints them; a principal without one may do everything. None to
                permit everything.

        Raises:
            ConfigError: it is no such policy.
        """
        self.authority.enforce({} if policy is None else policies_in(policy, self.read_policy))

    @property
    @abstractmethod
    def url(self) -> str:
        """The address that clients are given."""

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Variables by which cloudtune and the service's own clients find the emulator and are let in."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()  # what it has begun, such as a thread that serves, would outlive a Ctrl-C in a notebook
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Its folder on this machine."""
        return self._workplace.folder

    # For the emulators

    def _mounted(self) -> Iterator[tuple[str, Path]]:
        """Yield the address and the folder of each mount.

        Raises:
            ConfigError: there is no such folder.
        """
        for uri, folder in self._mounts.items():
            if not folder.is_dir():
                raise ConfigError(f"there is no folder {folder} to be mounted as {uri}")
            yield uri, folder

    def _count(self, operation: str) -> None:
        """Count a call of an operation."""
        with self._counting:
            self.calls[operation] += 1


def listen(start: Callable[[], None]) -> None:
    """Start a server.

    Raises:
        ConfigError: its port is taken.
    """
    try:
        start()
    except OSError as error:
        raise ConfigError(f"the emulator cannot listen: {error}; give another port, or 0 for a free one") from None


def settings_of(provider: str, **settings: str) -> dict[str, str]:
    """Return the variables of a profile's settings, such as ``CLOUDTUNE_VERTEX_POLL``, by their names."""
    return {f"CLOUDTUNE_{provider.upper()}_{name.upper()}": value for name, value in settings.items()}
