"""Tell the channels of a run what happens in it while a process follows it, refreshes it or cancels it."""

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloudtune.config import channels
from cloudtune.costs.warning import NEARLY
from cloudtune.errors import RunNotFound, StoreError, in_one_line
from cloudtune.spec.job import TuningJob
from cloudtune.spec.notify import Notification, NotifyEvent
from cloudtune.store.notices import SENT, claim, conclude
from cloudtune.store.records import RunRecord, RunState
from cloudtune.store.store import RunStore, Store

_LOOK = 1.0
"""Seconds between two looks for events while a run is followed."""

_ASKED = ("by Ctrl-C", "by SIGTERM", "since its terminal", "by Ctrl-Break", "before its end", "its driver goes on")
"""How the reason of a run begins that somebody interrupted, who need not be told."""


@dataclass(frozen=True, slots=True)
class _Happened:
    """One event to tell: its kind, what it is marked by, and why it happened."""

    event: NotifyEvent
    mark: str
    why: str


def channels_of(record: RunRecord, project: Path, near: Path | None) -> dict[str, Notification]:
    """Return the channels that are told of a run, by name: those of its job, and those of the config for its profile.

    Args:
        record: of the run.
        project: the folder of its store.
        near: the folder of a config that is nearer to its job; None for none.

    Raises:
        ConfigError: the config is not valid.
    """
    data = json.loads(record.job)
    own = TuningJob.from_data(data).notify if data.get("notify") else ()
    return channels_for(own, record.profile, project, near)


def channels_for(
    own: Iterable[Notification], profile: str, project: Path, near: Path | None
) -> dict[str, Notification]:
    """Return the channels that are told of a job's runs, by name.

    Args:
        own: the job's.
        profile: that it runs on.
        project: the folder of the store.
        near: the folder of a config that is nearer to the job; None for none.

    Raises:
        ConfigError: the config is not valid.
    """
    config = channels(project, near)
    return {
        **{f"notify[{index}]": each for index, each in enumerate(own)},
        **{name: each for name, each in config.items() if not each.profiles or profile in each.profiles},
    }


@contextlib.contextmanager
def telling(run: RunStore, near: Path | None, *, live: bool = False) -> Iterator[None]:
    """Tell the run's channels what happens within the context; do nothing for a run that has ended before.

    Messages are sent by threads: nothing here waits for them, and no failure of them is one of the run. It is an event of the run.

    Args:
        run: the run.
        near: the folder of a config that is nearer to the run's job; None for none.
        live: whether the context lasts as long as the run, so that events are to be looked for meanwhile.
    """
    before = run.record()
    if before.state.ended or not run.store.writable:
        yield
        return
    last, over = run.last_event(), threading.Event()
    watch = threading.Thread(target=_watch, args=[run, near, last, over], name=f"notify of {run.id}", daemon=True)
    if live and before.job and _has_budget(before):
        watch.start()
    try:
        yield
    finally:
        over.set()
        if watch.ident is not None:
            watch.join()
        with _reported(run):
            _tell(run, near, [*_warnings(run, last), *_ending(run, before)])


def _has_budget(record: RunRecord) -> bool:
    return bool((json.loads(record.job).get("limits") or {}).get("cost"))


def _watch(run: RunStore, near: Path | None, last: int, over: threading.Event) -> None:
    own = RunStore(Store(run.store.project), run.id)  # a connection belongs to its thread
    with _reported(own):
        while not over.wait(_LOOK):
            found = _warnings(own, last)
            if found:
                _tell(own, near, found)
                return
    own.store.close()


def _warnings(run: RunStore, last: int) -> list[_Happened]:
    """Return the warnings of a budget after a position in the run's events."""
    _, events = run.events_after(last)
    return [
        _Happened("budget", f"budget {time}", message)
        for time, number, message in events
        if number is None and message.startswith(NEARLY)
    ]


def _ending(run: RunStore, before: RunRecord) -> list[_Happened]:
    """Return how the run has ended, if it had not before."""
    record = run.record()
    if record.state.ended:
        event: NotifyEvent = "failure" if record.state is RunState.FAILED else "end"
        return [_Happened(event, f"ended {record.ended}", record.reason)]
    broken = record.state is RunState.INTERRUPTED and not record.reason.startswith(_ASKED)
    if not broken or before.state is RunState.INTERRUPTED:
        return []
    said = f"{RunState.INTERRUPTED.value}: "
    times = [time for time, number, message in run.events() if number is None and message.startswith(said)]
    return [_Happened("failure", f"interrupted {max(times, default=record.elapsed)}", record.reason)]


def _tell(run: RunStore, near: Path | None, happened: list[_Happened]) -> None:
    project = run.store.project
    found = channels_of(run.record(), project, near) if happened else {}
    if not found:
        return
    from cloudtune.notifying.message import message_of  # noqa: PLC0415  # few runs tell anybody
    from cloudtune.notifying.outbox import post  # noqa: PLC0415

    for each in happened:
        told = {name: channel for name, channel in found.items() if each.event in channel.events}
        if not told:
            continue
        message = message_of(run, each.event, each.why)
        for name, channel in told.items():
            if claim(run, each.mark, name):
                post(channel, message, project, partial(_conclude, project, run.id, each.mark, (name, channel.kind)))


def _conclude(project: Path, run_id: str, mark: str, channel: tuple[str, str], outcome: str) -> None:
    """Write what became of a message; a store that is gone or full has no place for it."""
    name, kind = channel
    with contextlib.suppress(StoreError), contextlib.closing(Store(project)) as store:
        run = RunStore(store, run_id)
        conclude(run, mark, name, outcome)
        if outcome != SENT:
            run.write(events=[(None, f"could not notify {name} ({kind}): {outcome}")])


@contextlib.contextmanager
def _reported(run: RunStore) -> Iterator[None]:
    """Make an error within the context an event of the run: telling others must not end it."""
    try:
        yield
    except RunNotFound:
        return  # it was removed meanwhile
    except Exception as error:  # noqa: BLE001  # whatever it is, it is not the run's
        with contextlib.suppress(StoreError):
            run.write(events=[(None, f"could not notify: {in_one_line(error)}")])
