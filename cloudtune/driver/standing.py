"""Determine, without calls to a service, whether a run is interrupted: whether its driver and its emulator still run."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloudtune.driver.listeners import gone
from cloudtune.driver.reasons import resume_hint
from cloudtune.store.records import CREATING, ELSEWHERE, RunRecord, RunState

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

_ACTIVE = (RunState.RUNNING, RunState.STOPPING)


def as_it_is(run: "RunStore") -> RunRecord:
    """Return a run's record, as interrupted if its driver or its emulator is gone without having written that.

    Asks no service, and writes nothing.
    """
    record = run.record()
    while record.state in _ACTIVE:
        reason = _why_interrupted(run, record)
        if reason is None:
            return record
        again = run.record()
        if again == record:
            return replace(record, state=RunState.INTERRUPTED, reason=reason)
        record = again  # the run changed meanwhile
    return record


def settle(run: "RunStore") -> RunRecord:
    """Write that a run is interrupted, if it is; return its record."""
    record = as_it_is(run)
    if record.state is RunState.INTERRUPTED and run.store.writable and run.record().state in _ACTIVE:
        run.write(
            columns={"state": record.state.value, "reason": record.reason},
            events=[(None, f"{record.state.value}: {record.reason}")],
        )
    return record


def lost_emulators(run: "RunStore") -> list[str]:
    """Return the names of the emulators of a run that have ended before it did, with all their data."""
    record = run.record()
    return [] if record.state.ended else gone(record)


def revive(run: "RunStore", record: RunRecord, listeners: Mapping[str, Mapping[str, Any]]) -> None:
    """Move a run whose emulators are gone to other emulators.

    Args:
        run: whose lock the caller holds.
        record: of the run, before.
        listeners: the new emulators; see `cloudtune.driver.listeners.listeners_of`.
    """
    columns: dict[str, object] = {"emulators": listeners}
    event = "it goes on in another emulator"
    if json.loads(record.plan).get("mode") == "managed":
        ended = [trial for trial in run.trials() if trial.state.ended]
        run.forget_trials()
        event = f"its tuning job ended with its emulator: it begins anew in another, without {len(ended)} trials that had ended"
        native = {name: value for name, value in record.native.items() if name != "job"}
        columns |= {"state": RunState.WAITING.value, "started": None, "elapsed": 0.0, "native": native}
    run.write(columns={**columns, "reason": "", "wish": ""}, events=[(None, event)])


@contextlib.contextmanager
def resumable_if_broken_off(run: "RunStore") -> Iterator[None]:
    """Write that a run is interrupted if KeyboardInterrupt ends the context before the run has started.

    From its start on, whatever drives or follows it writes that by itself.
    """
    try:
        yield
    except KeyboardInterrupt:
        record = run.record()
        if record.state is RunState.WAITING and not run.driven:
            reason = resume_hint(run.id, _why_not_started(record))
            run.write(
                columns={"state": RunState.INTERRUPTED.value, "reason": reason},
                events=[(None, f"{RunState.INTERRUPTED.value}: {reason}")],
            )
        raise


def _why_not_started(record: RunRecord) -> str:
    why = "by Ctrl-C, before it had started"
    if CREATING in record.native and not record.emulators:
        why += (
            f"; {record.provider} may have taken its tuning job all the same, which `cloudtune cancel {record.id}` ends"
        )
    return why


def _why_interrupted(run: "RunStore", record: RunRecord) -> str | None:
    managed = json.loads(record.plan).get("mode") == "managed"
    lost = gone(record)
    if (not lost and (managed or ELSEWHERE in record.native)) or run.driven:
        return None
    go_on = f"`cloudtune resume {run.id}`"
    if not lost:
        return f"its driver is gone; {go_on} goes on with it"
    if managed:
        return f"its emulator has ended, and the tuning job with it; {go_on} begins it anew in another, without its trials so far"
    return f"its emulator has ended; {go_on} goes on with it in another"
