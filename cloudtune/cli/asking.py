"""Looking at runs that services keep: all are asked at once, none is waited for long, and what is known is shown in any case."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudtune.errors import CloudtuneError, ProviderError
from cloudtune.provider.reachable import answers
from cloudtune.store.records import ELSEWHERE, RunState

if TYPE_CHECKING:
    from cloudtune.run import Run

_REACH = 0.7
"""Seconds within which a service has to show that it is there."""

_ANSWER = 5.0
"""Seconds within which a service that is there has to answer, with the loading of its SDK."""

abandoned: list[threading.Thread] = []
"""Looks that were given up and may hang for minutes: a command that is done does not wait for them."""


@dataclass(slots=True)
class _Look:
    """One run that is asked for, by a thread of its own.

    Attributes:
        reached: set when the service has shown that it is there.
        done: set when the look is over.
        trouble: why it told nothing; "" for none.
    """

    run: "Run"
    addresses: Mapping[str, str]
    reached: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    trouble: str = ""


def ask(runs: "Sequence[Run]") -> dict[str, str]:
    """Bring runs up to date, as far as that can be done in a moment.

    A look that takes too long goes on in a thread that keeps nobody from exiting.

    Returns:
        Why a run could not be asked for, by its id; those that could, or needed not, are not in it.
    """
    looks = [look for run in runs if (look := _look_at(run)) is not None]
    start = time.monotonic()
    threads = [
        threading.Thread(target=_ask, args=[look], name=f"look at {look.run.id}", daemon=True)
        for look in looks
        if not look.done.is_set()
    ]
    for thread in threads:
        thread.start()
    for look in looks:
        _wait(look, start + _REACH, start + _ANSWER)
    abandoned.extend(thread for thread in threads if thread.is_alive())
    return {look.run.id: look.trouble for look in looks if look.trouble}


def _look_at(run: "Run") -> _Look | None:
    """The look that a run needs; None where this machine knows all of it, and for a service that is not installed here."""
    record = run.record
    active = record.state in (RunState.RUNNING, RunState.STOPPING)
    managed = json.loads(record.plan).get("mode") == "managed"
    if not run.writable or not (active and (managed or ELSEWHERE in record.native)):
        if run.writable:
            run.refresh()  # asks this machine alone
        return None
    look = _Look(run, run.addresses)
    try:
        run.check_emulators()
    except ProviderError as error:
        look.trouble = str(error)
        look.done.set()
    return look


def _wait(look: _Look, reach: float, answer: float) -> None:
    """Wait for a look until it is over, or too much time has gone by.

    Args:
        look: the look.
        reach: when (monotonic) the service has to be reached at the latest.
        answer: when it has to have answered.
    """
    service = ", ".join(look.addresses) or look.run.record.provider
    while not look.done.is_set():
        if not look.reached.is_set() and time.monotonic() > reach:
            look.trouble = f"{service} cannot be reached"
            return
        if time.monotonic() > answer:
            look.trouble = f"{service} did not answer"
            return
        (look.done if look.reached.is_set() else look.reached).wait(0.02)


def _ask(look: _Look) -> None:
    trouble = ""
    try:
        unreachable = [service for service, address in look.addresses.items() if not answers(address, _REACH)]
        if unreachable:
            trouble = f"{', '.join(unreachable)} cannot be reached"
        else:
            look.reached.set()
            own = look.run.for_another_thread()
            own.refresh()
    except CloudtuneError as error:
        trouble = str(error)
    except Exception as error:  # noqa: BLE001  # whatever an SDK raises, the store's answer is shown
        trouble = f"{type(error).__name__}: {error}"
    if not look.trouble:
        look.trouble = trouble
    look.reached.set()
    look.done.set()
