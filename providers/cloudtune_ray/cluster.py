"""The driver's connection to the cluster, its nodes, and the actors of a run."""

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.plugins.extras import install
from cloudtune_ray.settings import RaySettings

AUTO = "auto"
"""The address of a cluster that was started on this machine."""

CLIENT_HINT = "ray://HOST:10001 as the address"

_MODULES = {"vertex_ray": "pip install 'google-cloud-aiplatform[ray]', with the cluster's version of Ray"}
"""What brings the modules of other addresses (`ray.client_builder`)."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1", "[::1]"}
_LONGEST = 300
_CONNECT_TIMEOUT = 5.0
_EXIT_TIMEOUT = 10.0
"""Seconds that an actor has to end its trial and exit, before it is killed."""


def load_ray() -> Any:  # the module; it has few types
    """Return the module ``ray``.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ray  # noqa: PLC0415  # takes half a second
    except ImportError as error:
        raise ConfigError(f"Ray needs {error.name}; install it with: {install('ray')}") from error
    return ray


class Cluster:
    """A connection to a cluster; a process has at most one, which all its users share.

    Closing the last of them ends the connection, unless the process had it before.

    Args:
        settings: of the profile.

    Raises:
        ConfigError: Ray is not installed.
        ProviderError: there is no such cluster, it has another version of Ray or Python, or this process is connected
            to another one.
    """

    _lock = threading.Lock()
    _users = 0
    _ours = False

    def __init__(self, settings: RaySettings) -> None:
        self.ray = load_ray()
        self.namespace = settings.namespace
        self._open = True
        wanted = settings.wanted or AUTO
        if settings.job_server and wanted == AUTO:
            raise ConfigError(
                f"{settings.job_server} is a dashboard, where drivers run as jobs; to drive from here give {CLIENT_HINT}"
            )
        with Cluster._lock:
            if not self.ray.is_initialized():
                _connect(self.ray, wanted, settings.namespace)
                Cluster._ours = True
            elif not _same(wanted, self.address):
                raise ProviderError(
                    f"this process is connected to the Ray cluster at {self.address}, not to {wanted}; call ray.shutdown() first"
                )
            Cluster._users += 1

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection."""
        with Cluster._lock:
            if not self._open:
                return
            self._open = False
            Cluster._users -= 1
            if Cluster._ours and not Cluster._users:
                self.ray.shutdown()
                Cluster._ours = False

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Raise errors of Ray itself within the context as those of a cluster that is lost.

        Raises:
            ProviderError: the head was started again, or cannot be reached any more.
        """
        try:
            yield
        except self.ray.exceptions.RayError as error:
            said = " ".join(str(error).split())[:300]
            why = (
                "its head was started again, and knows nothing of what ran before" if "WrongClusterID" in said else said
            )
            raise ProviderError(
                f"the Ray cluster is lost: {why}; where there is one, a resume starts its trials again"
            ) from error

    @property
    def address(self) -> str:
        """The address of the cluster's head."""
        return str(self.ray.get_runtime_context().gcs_address)

    def nodes(self) -> list[Mapping[str, Any]]:
        """Return the resources of each living node."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def misfit(self, demand: Mapping[str, float]) -> str:
        """Return why no node has the resources that a trial takes, even if nothing else runs; "" if one has."""
        nodes = self.nodes()
        if any(all(node.get(name, 0) >= amount for name, amount in demand.items()) for node in nodes):
            return ""
        most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in demand}
        short = {name: amount for name, amount in demand.items() if most[name] < amount} or demand
        wanted = " and ".join(_amount(name, amount, most[name]) for name, amount in short.items())
        together = "" if len(short) < len(demand) or len(demand) == 1 else " together"
        return f"a trial needs {wanted}, which none of the {len(nodes)} nodes has{together}"

    # The actors of a run

    def actors(self, prefix: str) -> dict[str, Any]:
        """Return the living actors whose names begin with a prefix, by name."""
        found = {}
        for about in self.ray.util.list_named_actors(all_namespaces=True):
            if about["namespace"] == self.namespace and about["name"].startswith(prefix):
                with contextlib.suppress(ValueError):  # it has ended meanwhile
                    found[about["name"]] = self.ray.get_actor(about["name"], namespace=self.namespace)
        return found

    def answers(self, calls: Mapping[str, Any], seconds: float) -> Iterator[tuple[str, Any]]:
        """Yield the answers of calls by the names of their actors, except those that failed or took too long."""
        ready, _ = self.ray.wait(list(calls.values()), num_returns=len(calls), timeout=seconds) if calls else ([], [])
        for name, call in calls.items():
            if call in ready:
                with contextlib.suppress(self.ray.exceptions.RayError):
                    yield name, self.ray.get(call)

    def dismiss(self, actors: Sequence[Any]) -> None:
        """Make actors end their trials and exit; kill those that do not in time."""
        calls = [actor.leave.remote() for actor in actors]
        if calls:
            self.ray.wait(calls, num_returns=len(calls), timeout=_EXIT_TIMEOUT)
        for actor in actors:
            with contextlib.suppress(self.ray.exceptions.RayError, ValueError):  # it has ended
                self.ray.kill(actor)


def _amount(name: str, amount: float, most: float) -> str:
    kind = name.removeprefix("accelerator_type:")
    if kind != name:
        return f"an accelerator {kind}"
    unit, size = ("GB of memory", 1e9) if name == "memory" else (name, 1.0)
    return f"{amount / size:g} {unit} (the most is {most / size:.3g})"


def _same(wanted: str, address: str) -> bool:
    """Return whether a wanted address may be that of the present connection."""
    if wanted == AUTO or "://" in wanted:
        return True  # only the head knows which cluster that is
    (host, _, port), (known, _, known_port) = wanted.rpartition(":"), address.rpartition(":")
    return port == known_port and (host == known or host in _LOOPBACK or known in _LOOPBACK)


def _connect(ray: Any, wanted: str, namespace: str) -> None:
    try:
        address = ray._private.services.canonicalize_bootstrap_address(AUTO) if wanted == AUTO else wanted  # noqa: SLF001  # Ray's own way to find it
        _check_listening(address)
        with _own_signal_handlers():
            ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise ProviderError(_why_not(wanted, error), retryable=isinstance(error, OSError)) from error
    _log_raylet_messages(ray)


def _check_listening(address: str) -> None:
    """Check that a process listens at ``HOST:PORT``: Ray itself would try for a minute or longer.

    Raises:
        OSError: no process does.
    """
    host, _, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT).close()


def _why_not(address: str, error: Exception) -> str:
    text, start = (
        str(error).strip(),
        "start one with `ray start --head`, or name another one (address in the profile, or RAY_ADDRESS)",
    )
    if "Version mismatch" in text:
        return f"the cluster at {address} does not fit: " + " ".join(text.split())
    if text.startswith("Module: "):  # Ray has the module NAME connect to NAME://…
        module = address.partition("://")[0]
        hint = _MODULES.get(module, "cloudtune itself knows ray://, http://, https:// and kuberay://")
        return f"the module {module}, which {address} is for, cannot be imported ({error.__cause__}): {hint}"
    if address == AUTO and isinstance(error, OSError):
        return f"there is no Ray cluster on this machine; {start}"
    if isinstance(error, OSError) and error.strerror:
        return f"no Ray cluster answers at {address}: {error.strerror}; {start}"
    if not address.startswith("ray://") and "raylet" in text.lower():
        return f"this machine is not of the cluster at {address}; join it with `ray start --address={address}`, or take ray://HOST:10001"
    why = " ".join(text.split())[:_LONGEST] or type(error).__name__
    return f"the Ray cluster at {address} cannot be used: {why}"


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep this process's handler of SIGTERM within the context: `ray.init` replaces it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _log_raylet_messages(ray: Any) -> None:
    """Write the raylets' messages to the log instead of printing them, which could be amid a command's JSON.

    ``log_to_driver=False`` covers the output of workers alone (`ray._private.worker.listen_error_messages`).
    """
    say: Callable[..., None] | None = getattr(ray._private.worker, "print_to_stdstream", None)  # noqa: SLF001  # it has no switch
    if say is not None:
        ray._private.worker.print_to_stdstream = _to_log  # noqa: SLF001


def _to_log(data: Mapping[str, Any], *_: object, **__: object) -> None:
    for line in data.get("lines", ()):
        logging.getLogger("cloudtune.ray").debug("%s", line)
