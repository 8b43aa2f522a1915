"""What others are told of a run: a message as plain data, and its text for people."""

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudtune.costs.views import run_cost
from cloudtune.errors.masking import masked_data
from cloudtune.results.json_data import json_data
from cloudtune.results.objectives import best_trial
from cloudtune.spec.job import TuningJob
from cloudtune.spec.notify import NotifyEvent
from cloudtune.store.records import RunRecord, Trial

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

VERSION = 1
"""Of the message's form; a new one only adds to it, unless this changes."""

_MOST_PARAMETERS = 50
"""The most parameters of the best trial that a message has."""

_LONGEST = 1000
"""The most characters of a text in a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one event of a run is told by.

    Attributes:
        event: its kind.
        title: one line.
        text: some lines for people, the title first.
        data: all of it as plain data for JSON.
    """

    event: NotifyEvent
    title: str
    text: str
    data: dict[str, Any]

    @property
    def json(self) -> bytes:
        """The data as JSON."""
        return json.dumps(self.data, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def message_of(run: "RunStore", event: NotifyEvent, why: str) -> Message:
    """Return the message of an event of a run, as its store has it now; secrets in it are masked.

    Args:
        run: the run.
        event: the kind of event.
        why: what happened, in one sentence; may be empty.
    """
    record, trials = run.record(), run.trials()
    job = TuningJob.from_data(json.loads(record.job))
    best = best_trial(job.objective, job.constraints, trials) if len(job.objective) == 1 else None
    cost = run_cost(record, trials, job)
    title = _title(record, event)
    data: dict[str, Any] = {
        "version": VERSION,
        "event": event,
        "run": record.id,
        "job": record.name,
        "state": record.state.value,
        "reason": why[:_LONGEST],
        "provider": record.provider,
        "profile": record.profile,
        "project": str(run.store.project),
        "trials": run.counts(),
        "best": None if best is None else _trial_data(best),
        "cost": None if cost is None else {**cost.to_data(), "text": str(cost)},
        "created": record.created,
        "ended": record.ended,
        "elapsed": record.elapsed,
        "sent": time.time(),
        "commands": {verb: run.command(verb) for verb in ("show", "report", "logs")},
    }
    lines = [title, *([why[:_LONGEST]] if why else []), _counts(data["trials"])]
    if best is not None:
        lines.append(f"best: trial {best.number}, {_values(best.metrics)} with {_values(best.parameters)}")
    if cost is not None:
        lines.append(f"cost: {cost}")
    lines.append(f"see it with: {data['commands']['show']}")
    masked: Any = masked_data({**data, "title": title, "text": "\n".join(line for line in lines if line)})
    return Message(event, masked["title"], masked["text"], masked)


def trial_message(project: str) -> Message:
    """Return a message of no run, by which a channel is tried.

    Args:
        project: the project's folder.
    """
    title = "cloudtune: this is a test message"
    text = f"{title}\nWhat is told of runs arrives this way. Sent from {project}"
    data = {"version": VERSION, "event": "test", "run": None, "state": None, "project": project, "sent": time.time(), "title": title, "text": text}  # fmt: skip
    return Message("end", title, text, data)


def _title(record: RunRecord, event: NotifyEvent) -> str:
    said = "has spent 80 % of its budget" if event == "budget" else f"is {record.state.value}"
    return f"cloudtune: {record.id} {said}"


def _trial_data(trial: Trial) -> dict[str, Any]:
    few = dict(list(trial.parameters.items())[:_MOST_PARAMETERS])
    data: dict[str, Any] = {"number": trial.number, "parameters": few, "metrics": trial.metrics}
    return json_data(data, text=lambda text: text[:_LONGEST])  # type: ignore[no-any-return]


def _counts(counts: dict[str, int]) -> str:
    return "trials: " + ", ".join(f"{count} {state}" for state, count in counts.items()) if counts else ""


def _values(values: Any) -> str:  # scalars by name
    shown = [f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()]
    return ", ".join(each[:80] for each in shown[:12])
