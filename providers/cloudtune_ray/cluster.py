"""The cluster as the driver sees it: the connection, its nodes, and the actors of a run."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cloudtune.errors import ConfigError, ProviderError
from cloudtune_ray.settings import RaySettings

_CONNECT_TIMEOUT = 5.0
_GOODBYE = 10.0
"""Seconds that an actor has to end its trial and leave, before it is killed."""


def load_ray() -> Any:  # the module; it has few types
    """The module ``ray``.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ray  # noqa: PLC0415  # half a second, for who runs there only
    except ImportError as error:
        raise ConfigError(f"Ray needs {error.name}; install it with: pip install 'cloudtune[ray]'") from error
    return ray


class Cluster:
    """A connection to a cluster; one that this process has already is shared, and stays.

    Args:
        settings: of the profile.

    Raises:
        ConfigError: Ray is not installed.
        ProviderError: there is no such cluster, or it has another version of Ray or Python.
    """

    def __init__(self, settings: RaySettings) -> None:
        self.ray = load_ray()
        self.namespace = settings.namespace
        self._own = not self.ray.is_initialized()
        if self._own:
            _connect(self.ray, settings.address or os.environ.get("RAY_ADDRESS") or "auto", settings.namespace)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, if it is ours."""
        if self._own:
            self.ray.shutdown()

    @property
    def address(self) -> str:
        """Of the cluster's head."""
        return str(self.ray.get_runtime_context().gcs_address)

    def nodes(self) -> list[Mapping[str, Any]]:
        """The resources of each living node."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def misfit(self, demand: Mapping[str, float]) -> str:
        """Why no node can ever give so much to a trial; "" if one can, as soon as it is free."""
        nodes = self.nodes()
        if any(all(node.get(name, 0) >= amount for name, amount in demand.items()) for node in nodes):
            return ""
        most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in demand}
        short = {name: amount for name, amount in demand.items() if most[name] < amount} or demand
        wanted = " and ".join(f"{_amount(name, amount)} (the most is {most[name]:g})" for name, amount in short.items())
        together = "" if len(short) < len(demand) or len(demand) == 1 else " together"
        return f"a trial needs {wanted}, which none of the {len(nodes)} nodes has{together}"

    # The actors of a run

    def actors(self, prefix: str) -> dict[str, Any]:
        """The living actors whose names begin so, by name."""
        found = {}
        for about in self.ray.util.list_named_actors(all_namespaces=True):
            if about["namespace"] == self.namespace and about["name"].startswith(prefix):
                with contextlib.suppress(ValueError):  # it is gone meanwhile
                    found[about["name"]] = self.ray.get_actor(about["name"], namespace=self.namespace)
        return found

    def answers(self, calls: Mapping[str, Any], seconds: float) -> Iterator[tuple[str, Any]]:
        """What calls gave by the names of their actors; without those that failed or took too long."""
        ready, _ = self.ray.wait(list(calls.values()), num_returns=len(calls), timeout=seconds) if calls else ([], [])
        for name, call in calls.items():
            if call in ready:
                with contextlib.suppress(self.ray.exceptions.RayError):
                    yield name, self.ray.get(call)

    def dismiss(self, actors: Sequence[Any]) -> None:
        """Lets actors end their trials and leave; who does not in time is killed."""
        calls = [actor.leave.remote() for actor in actors]
        if calls:
            self.ray.wait(calls, num_returns=len(calls), timeout=_GOODBYE)
        for actor in actors:
            with contextlib.suppress(self.ray.exceptions.RayError, ValueError):  # it is gone, as it should be
                self.ray.kill(actor)


def _amount(name: str, amount: float) -> str:
    if name == "memory":
        return f"{amount / 1e9:g} GB of memory"
    kind = name.removeprefix("accelerator_type:")
    return f"an accelerator {kind}" if kind != name else f"{amount:g} {name}"


def _connect(ray: Any, address: str, namespace: str) -> None:
    _knock(address)
    with _own_signal_handlers():
        try:
            ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            raise ProviderError(_why_not(address, error), retryable=isinstance(error, ConnectionError)) from error
    _hush(ray)


def _knock(address: str) -> None:
    """Sees whether anybody listens at ``HOST:PORT``: Ray itself would try for a minute or longer."""
    host, _, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT).close()
    except OSError as error:
        raise ProviderError(
            f"no Ray cluster answers at {address}: {error.strerror or error}; start one with `ray start --head`, "
            "or name another one (address in the profile, or RAY_ADDRESS)",
            retryable=True,
        ) from None


def _why_not(address: str, error: Exception) -> str:
    text = str(error).strip()
    if "Version mismatch" in text:
        return f"the cluster at {address} does not fit: " + " ".join(text.split())
    if address == "auto":
        return "there is no Ray cluster on this machine; start one with `ray start --head`, or name one (address in the profile, or RAY_ADDRESS)"
    if not address.startswith("ray://") and "raylet" in text.lower():
        return f"this machine is not of the cluster at {address}; start `ray start --address={address}` here, or take ray://HOST:10001"
    return f"the Ray cluster at {address} cannot be used: {text.splitlines()[0] if text else type(error).__name__}"


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keeps the handlers of this process: `ray.init` puts its own in the place of SIGTERM's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _hush(ray: Any) -> None:
    """Takes what raylets say for the log instead of printing it, also among a command's JSON.

    ``log_to_driver=False`` is for the output of workers alone (`ray._private.worker.listen_error_messages`).
    """
    say: Callable[..., None] | None = getattr(ray._private.worker, "print_to_stdstream", None)  # noqa: SLF001  # it has no switch
    if say is not None:
        ray._private.worker.print_to_stdstream = _to_log  # noqa: SLF001


def _to_log(data: Mapping[str, Any], *_: object, **__: object) -> None:
    for line in data.get("lines", ()):
        logging.getLogger("cloudtune.ray").debug("%s", line)
