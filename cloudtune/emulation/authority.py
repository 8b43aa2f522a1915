"""Permissions in an emulator: policies decide which actions its principals may take, as the service's own would."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cloudtune.errors import ConfigError

CALLER = "caller"
"""The principal of clients that have the emulator's own credentials."""

IDENTITY = "identity"
"""The principal that jobs run as: a role, a service account, a managed identity."""

STRATEGY = "strategy"
"""The principal of drivers whose strategy asks the service; those of a policy that does not name it are the callers."""


@dataclass(frozen=True, slots=True)
class Ask:
    """An action on a resource, of which a policy decides.

    Attributes:
        action: the service's name of the permission.
        resource: the service's name of the resource.
        context: further facts of the request: keys that conditions name, with their values.
    """

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


class Policy(Protocol):
    """A policy of one principal."""

    def allows(self, ask: Ask) -> bool:
        """Return whether it permits an action on a resource."""


class Authority:
    """Decides what the principals of an emulator may do, and keeps what was asked; without a policy, everything.

    Attributes:
        asked: every different action so far, with its principal; only those of principals with a policy.
    """

    def __init__(self) -> None:
        self._policies: Mapping[str, Policy] = {}
        self._lock = threading.Lock()
        self.asked: dict[tuple[str, Ask], None] = {}

    def enforce(self, policies: Mapping[str, Policy]) -> None:
        """Decide by these policies, by principal, from now on; forget what was asked."""
        with self._lock:
            self._policies, self.asked = policies, {}

    @property
    def enforces(self) -> bool:
        """Whether there is any policy."""
        return bool(self._policies)

    def policy(self, principal: str) -> Policy | None:
        """Return the policy of a principal; None if it may do everything."""
        return self._policies.get(principal)

    def allows(self, principal: str, ask: Ask) -> bool:
        """Return whether a principal may take an action."""
        policy = self._policies.get(principal)
        if policy is None:
            return True
        with self._lock:
            self.asked[principal, ask] = None
        return policy.allows(ask)

    def denied(self, principal: str, *asks: Ask) -> Ask | None:
        """Return the first of some actions that a principal may not take; None if it may take all of them."""
        return next((ask for ask in asks if not self.allows(principal, ask)), None)


def policies_in(document: Mapping[str, Any], read: Callable[[Any], Policy]) -> dict[str, Policy]:
    """Return the policies of a document, by principal.

    Args:
        document: the policies of `CALLER`, `IDENTITY` and `STRATEGY`, or of some of them, as ``cloudtune check --policy`` prints them.
        read: makes a policy of one principal's part; raises ValueError for a part that is no policy of the service.

    Raises:
        ConfigError: it is no such document.
    """
    unknown = sorted(set(document) - {CALLER, IDENTITY, STRATEGY})
    if unknown or not document:
        said = f"it has {', '.join(map(repr, unknown))}" if unknown else "it is empty"
        raise ConfigError(
            f"the policy must have the keys {CALLER!r}, {IDENTITY!r} and {STRATEGY!r}, or some of them, as `cloudtune check --policy` "
            f"prints it; {said}"
        )
    try:
        return {name: read(part) for name, part in document.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"the policy cannot be read: {error}") from None
