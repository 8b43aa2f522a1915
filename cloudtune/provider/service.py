"""A cloud service as it is called: at its real address, or in an emulator on this machine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from cloudtune.driver.listeners import may_ask, on_this_machine
from cloudtune.errors import ConfigError
from cloudtune.plugins.extras import install_provider

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore


class Service(ABC):
    """The service of a run: its address, its credentials and its SDK."""

    name: ClassVar[str]
    """The provider's name."""

    service: ClassVar[str]
    """What messages call the service, e.g. ``SageMaker``."""

    sdk: ClassVar[Sequence[str]] = ()
    """Modules of the service's SDK, without which jobs can be planned and nothing else; none for plain HTTP."""

    @property
    @abstractmethod
    def poll(self) -> float:
        """Seconds between two polls of a run that is followed."""

    @property
    @abstractmethod
    def endpoint(self) -> str | None:
        """The address that replaces the real service's, such as an emulator's; None for the real one."""

    @property
    @abstractmethod
    def address(self) -> str | None:
        """The address of the real service; None if it is not known without its SDK."""

    def log_in(self) -> None:  # noqa: B027  # only a driven run that has not begun asks for it
        """Find the credentials of this machine's user, without changing anything here or on the service.

        By default there are none to find.

        Raises:
            ConfigError: what the profile says of them cannot be used.
            CredentialError: there are none; says how to log in.
        """

    def emulators(self) -> Mapping[str, str]:
        """Return the address of the service's emulator, by the provider's name; nothing for the real service."""
        endpoint = self.endpoint
        return {self.name: endpoint} if endpoint is not None and on_this_machine(endpoint) else {}

    def addresses(self) -> Mapping[str, str]:
        """Return the address of the service, by its name; nothing where it is not known."""
        address = self.endpoint or self.address
        return {} if address is None else {self.service: address}

    def need_sdk(self) -> None:
        """Check that the service's SDK is installed.

        Raises:
            ConfigError: it is not; says how to install it.
        """
        missing = [name for name in self.sdk if not _is_installed(name)]
        if missing:
            raise ConfigError(
                f"{self.service} needs {', '.join(missing)}; install it with: {install_provider(self.name)}"
            )

    def reach(self, run: "RunStore") -> None:
        """Check that the service can be called about a run; called before any request.

        Raises:
            ConfigError: the service's SDK is missing.
            ProviderError: the run is emulated and its emulator is gone, or this process leads elsewhere; an emulated run is
                never looked for at the real service.
        """
        may_ask(run.record(), self.emulators(), [self.name])
        self.need_sdk()


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False
