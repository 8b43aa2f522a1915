"""Refreshing of runs whose state is at a service: in parallel and with short time limits."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudtune.errors import CloudtuneError, ConfigError, ProviderError
from cloudtune.provider.reachable import answers
from cloudtune.store.records import ELSEWHERE, RunState

if TYPE_CHECKING:
    from cloudtune.run import Run

_REACH = 0.8
"""Seconds, since the look began, within which a service must accept a connection: what is stored is shown within one."""

_LEAST = 0.4
"""Seconds that a service has for that, however much of the look's time is over."""

_ANSWER = 5.0
"""Seconds within which a reachable service must answer, including the import of its SDK."""

abandoned: list[threading.Thread] = []
"""Threads of refreshes that were given up and may hang for minutes; the command exits without them."""


@dataclass(slots=True)
class _Refresh:
    """The refresh of one run in a thread of its own.

    Attributes:
        addresses: the addresses of its services by name.
        reach: seconds within which these must accept a connection.
        reached: set when the service has accepted a connection.
        done: set when the refresh has ended.
        trouble: why the refresh failed; "" if it did not.
    """

    run: "Run"
    addresses: Mapping[str, str]
    reach: float
    reached: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    trouble: str = ""


def ask(runs: "Sequence[Run]", *, since: float | None = None) -> dict[str, str]:
    """Refresh runs from their services, for at most `_ANSWER` seconds.

    A refresh that takes longer goes on in a daemon thread.

    Args:
        runs: the runs; all are asked at once.
        since: when the look began (monotonic clock, seconds), such as the start of a command; None for now.

    Returns:
        The reason why a run could not be refreshed, by run id; runs without a problem are left out.
    """
    start = time.monotonic()
    reach = max(_REACH - (start - since) if since is not None else _REACH, _LEAST)
    refreshes = [refresh for run in runs if (refresh := _refresh_of(run, reach)) is not None]
    threads = [
        threading.Thread(target=_run, args=[refresh], name=f"refresh of {refresh.run.id}", daemon=True)
        for refresh in refreshes
        if not refresh.done.is_set()
    ]
    for thread in threads:
        thread.start()
    for refresh in refreshes:
        _wait(refresh, start + reach, start + _ANSWER)
    abandoned.extend(thread for thread in threads if thread.is_alive())
    return {refresh.run.id: refresh.trouble for refresh in refreshes if refresh.trouble}


def _refresh_of(run: "Run", reach: float) -> _Refresh | None:
    """Return the refresh that a run needs; None if this machine knows its state, or for a read-only run."""
    record = run.record
    active = record.state in (RunState.RUNNING, RunState.STOPPING)
    managed = json.loads(record.plan).get("mode") == "managed"
    refresh = _Refresh(run, run.addresses, reach)
    try:
        if not run.writable or not (active and (managed or ELSEWHERE in record.native)):
            if run.writable:
                run.refresh()  # without a call to a service
            return None
        run.check_emulators()
    except (ProviderError, ConfigError) as error:
        refresh.trouble = str(error)
        refresh.done.set()
    return refresh


def _wait(refresh: _Refresh, reach: float, answer: float) -> None:
    """Wait for a refresh until it has ended or its time is over.

    Args:
        refresh: the refresh; its `trouble` is set where the time is over.
        reach: the time (monotonic clock, seconds) by which the service must be reached.
        answer: the time by which it must have answered.
    """
    service = ", ".join(refresh.addresses) or refresh.run.record.provider
    while not refresh.done.is_set():
        if not refresh.reached.is_set() and time.monotonic() > reach:
            refresh.trouble = f"{service} cannot be reached"
            return
        if time.monotonic() > answer:
            refresh.trouble = f"{service} did not answer"
            return
        (refresh.done if refresh.reached.is_set() else refresh.reached).wait(0.02)


def _run(refresh: _Refresh) -> None:
    trouble = ""
    try:
        unreachable = [service for service, address in refresh.addresses.items() if not answers(address, refresh.reach)]
        if unreachable:
            trouble = f"{', '.join(unreachable)} cannot be reached"
        else:
            refresh.reached.set()
            own = refresh.run.for_another_thread()
            own.refresh()
    except CloudtuneError as error:
        trouble = str(error)
    except Exception as error:  # noqa: BLE001  # whatever an SDK raises, the stored state is shown
        trouble = f"{type(error).__name__}: {error}"
    if not refresh.trouble:
        refresh.trouble = trouble
    refresh.reached.set()
    refresh.done.set()
