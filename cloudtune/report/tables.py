"""The tables of a report: outcome, trials, plan, events, facts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from cloudtune.costs.views import currency_of, trial_cost
from cloudtune.planning.plan import covers, leaves
from cloudtune.report.study import Study
from cloudtune.report.words import count, moment, number, options, scalar
from cloudtune.results.confirmation import expected_metrics, said
from cloudtune.results.constraints import feasible_text, reason_of, why_infeasible
from cloudtune.space.space import Values
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.job import TuningJob
from cloudtune.spec.text.dumping import yaml_text
from cloudtune.spec.units import brief_duration
from cloudtune.store.records import Trial, TrialState

MAX_EVENTS = 300
"""Most events in the table; of more, the last."""

MAX_FRONT = 25
"""Most trials of the Pareto front in the table; of more, the best in the first objective."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table of plain texts as HTML."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' if column else "<td></td>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table class="{escape(kind)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def details(summary: str, content: str) -> str:
    """Return HTML content that is folded below a summary."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def snippet(label: str, text: str) -> str:
    """Return HTML of a text with a button that copies it."""
    return (
        f'<div class="snippet"><div><span>{escape(label)}</span><button type="button" class="copy">Copy</button></div>'
        f'<pre tabindex="0">{escape(text)}</pre></div>'
    )


def outcome(study: Study) -> str:
    """Return the HTML of the outcome: the best trial, or the Pareto front of several objectives."""
    if len(study.job.objective) > 1:
        return _front(study)
    if study.best is None:
        return _no_best(study)
    best, metric = study.best, study.objective.metric
    known = study.confirmed.get(best.number)
    title = f"{metric} = {number(best.metrics[metric])}" if known is None else f"mean {metric} = {said(known, metric)}"
    return (
        f'<section class="best"><h2>Best: {escape(title)}</h2>'
        f"<p>Trial {best.number} of {count(len(study.ranked), 'completed trial')}; {escape(metric)} is"
        f" {escape(study.objective.goal)}d.{escape(_others(best, metric))}</p>{_parameters(best.parameters)}{_confirmation(study)}</section>"
    )


def _no_best(study: Study) -> str:
    """Return the HTML of the outcome where no trial is the best or on the front: none ended well, or none is feasible."""
    if not study.ranked:
        text = "No trial has ended well yet." if not study.record.state.ended else "No trial ended well."
        return f'<section class="best"><p>{text}{escape(why_failed(study))}</p></section>'
    asked = escape(" and ".join(map(str, study.job.constraints)))
    by_means = bool(study.confirmed) and len(study.job.objective) == 1
    which = count(len(study.confirmed), "candidate") if by_means else count(len(study.ranked), "completed trial")
    text = (
        f"None of {which} is feasible, that is, keeps {asked}{' by the means of its repetitions' if by_means else ''}."
    )
    near = study.nearest
    if near is None:
        return f'<section class="best"><h2>No feasible trial</h2><p>{text}</p></section>'
    metrics = expected_metrics(near, study.confirmed)
    told = ", ".join(f"{each.metric} = {number(metrics.get(each.metric))}" for each in study.job.objective)
    why = escape(why_infeasible(study.job.constraints, metrics))
    return (
        f'<section class="best"><h2>No feasible trial</h2><p>{text} Trial {near.number} comes nearest: '
        f"{escape(told)}; {why}.</p>{_parameters(near.parameters)}{_confirmation(study)}</section>"
    )


def _confirmation(study: Study) -> str:
    """Return HTML of what the repetitions of the candidates came to, the best mean first; "" without any."""
    if not study.confirmed:
        return ""
    metric, sign = study.objective.metric, 1 if study.objective.goal == "minimize" else -1
    ranked = sorted(study.confirmed.values(), key=lambda each: sign * each.means.get(metric, math.inf))
    first = {trial.number: trial.metrics.get(metric) for trial in study.trials}
    rows = [
        (
            str(each.number), number(each.means.get(metric)), number(each.spreads.get(metric)),
            f"{each.completed} of {len(each.repeats)}", number(first[each.number]),
        )
        for each in ranked
    ]  # fmt: skip
    text = (
        "The candidates were run again with other seeds. The best is the one with the best mean of its repetitions; the "
        "first value, for which a candidate was picked, is no part of the mean."
    )
    columns = ("trial", f"mean {metric}", "standard deviation", "repetitions", "first value")
    return f"<p>{text}</p>{table(columns, rows)}"


def _others(best: Trial, metric: str) -> str:
    others = ", ".join(f"{name} = {number(value)}" for name, value in best.metrics.items() if name != metric)
    cost = trial_cost(best)
    return (f" It also reported {others}." if others else "") + (f" It cost {cost}." if cost else "")


def _parameters(values: Values) -> str:
    return (
        '<div class="snippets">'
        + snippet("Parameters as YAML", yaml_text(values))
        + snippet("as options of a command", options(values))
        + "</div>"
    )


def why_failed(study: Study) -> str:
    """Return a sentence with the most frequent reason of failed trials, and a space before it; "" for none."""
    reasons = [trial.reason for trial in study.trials if trial.state is TrialState.FAILED and trial.reason]
    if not reasons:
        return ""
    most = max(dict.fromkeys(reasons), key=reasons.count)
    return f" {count(reasons.count(most), 'trial')} failed with: {most}"


def _front(study: Study) -> str:
    if not study.front:
        return _no_best(study)
    metrics = [each.metric for each in study.job.objective]
    sign = 1 if study.objective.goal == "minimize" else -1
    front = sorted(study.front, key=lambda trial: sign * trial.metrics[metrics[0]])
    rows = [
        (
            str(trial.number),
            *(number(trial.metrics[metric]) for metric in metrics),
            " ".join(f"{name}={scalar(value)}" for name, value in trial.parameters.items()),
        )
        for trial in front[:MAX_FRONT]
    ]
    goals = " and ".join(f"{each.metric} ({each.goal}d)" for each in study.job.objective)
    more = f" The {MAX_FRONT} best in {metrics[0]} are listed." if len(front) > MAX_FRONT else ""
    return (
        f'<section class="best"><h2>{count(len(front), "trial")} on the Pareto front</h2>'
        f"<p>By {escape(goals)}, of {count(len(study.ranked), 'completed trial')}.{escape(more)}</p>"
        f"{table(('trial', *metrics, 'parameters'), rows, 'front')}</section>"
    )


@dataclass(frozen=True)
class TrialColumns:
    """The columns of a table of trials, and its rows.

    Attributes:
        metrics: names of metrics, those of the job first.
        parameters: names of parameters.
        currency: of what was charged; "" where nothing was.
        own: whether some trials are a user's own.
        constraints: of the job.
    """

    metrics: tuple[str, ...]
    parameters: tuple[str, ...]
    currency: str = ""
    own: bool = False
    constraints: tuple[Constraint, ...] = ()

    @classmethod
    def of(cls, job: TuningJob, trials: Sequence[Trial]) -> "TrialColumns":
        """Return the columns that some trials of a job take."""
        metrics = dict.fromkeys(each.metric for each in job.measured)
        names = dict.fromkeys(job.space)
        for trial in trials:
            metrics.update(dict.fromkeys(trial.metrics))
            names.update(dict.fromkeys(trial.parameters))
        own = any(trial.origin for trial in trials)
        return cls(tuple(metrics), tuple(names), currency_of(trials), own, tuple(job.constraints))

    def fits(self, trial: Trial) -> bool:
        """Return whether a trial has nothing that these columns lack."""
        known = {*trial.metrics} <= {*self.metrics} and {*trial.parameters} <= {*self.parameters}
        return known and (self.own or not trial.origin) and (bool(self.currency) or not currency_of([trial]))

    def to_data(self) -> dict[str, object]:
        """Return them as plain data.

        Returns:
            ``columns``: the titles. ``metrics`` and ``parameters``: the index of the first such column, and their number.
            ``cost``: the index of the column of what was charged, and its currency; None where nothing was.
        """
        spent = ["cost" if "cost" not in {*self.metrics, *self.parameters} else "spent"] if self.currency else []
        own, feasible = ["from"] if self.own else [], ["feasible"] if self.constraints else []
        first = 2 + len(self.metrics)
        return {
            "columns": [
                "trial",
                "state",
                *self.metrics,
                *self.parameters,
                "seconds",
                *spent,
                "attempt",
                *own,
                *feasible,
                "reason",
            ],
            "metrics": [2, len(self.metrics)],
            "parameters": [first, len(self.parameters)],
            "cost": [first + len(self.parameters) + 1, self.currency] if self.currency else None,
        }

    def row(self, trial: Trial) -> list[object]:
        """Return the cells of a trial, with numbers as numbers and None for missing values."""
        took = None if trial.duration is None else round(trial.duration, 3)
        return [
            trial.number,
            trial.state.value,
            *(_cell(trial.metrics[name]) if name in trial.metrics else None for name in self.metrics),
            *(_cell(trial.parameters[name]) if name in trial.parameters else None for name in self.parameters),
            took,
            *([None if trial.cost is None else float(trial.cost)] if self.currency else []),
            trial.attempt,
            *([trial.origin] if self.own else []),
            *([feasible_text(self.constraints, trial)] if self.constraints else []),
            reason_of(self.constraints, trial),
        ]


def trial_table(study: Study) -> dict[str, object]:
    """Return the trials as data from which a page draws the table, and the texts about a trial: `TrialColumns.to_data` with ``rows``."""
    columns = TrialColumns.of(study.job, study.trials)
    return {**columns.to_data(), "rows": [columns.row(trial) for trial in study.trials]}


def _cell(value: bool | float | str | None) -> object:
    """Return finite numbers unchanged, other values as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return scalar(value)
    return value if math.isfinite(value) else str(value)


PLAN_COLUMNS = ("field", "support", "goes to", "note")
"""The columns of `plan_rows`."""


def plan_rows(study: Study) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return how each leaf of the spec is carried: rows of `PLAN_COLUMNS` of those with notes; field and place of the exact ones."""
    plan = study.plan
    changed: list[tuple[str, ...]] = []
    exact: list[tuple[str, ...]] = []
    for path, _ in leaves(study.job):
        support = plan.support(path)
        notes = [note for note in plan.notes if covers(note.path, path)]
        if notes or support is None:
            targets = ", ".join(note.target for note in notes if note.target)
            messages = " ".join(note.message for note in notes)
            changed.append((path, support.value if support else "not said", targets, messages))
        else:
            targets = next((target for carried, target in plan.carried.items() if covers(carried, path)), "")
            exact.append((path, targets))
    return changed, exact


def plan_table(study: Study) -> str:
    """Return the HTML table of how each leaf of the spec is carried, with the exact ones folded."""
    changed, exact = plan_rows(study)
    head = table(PLAN_COLUMNS, changed, "plan") if changed else ""
    if not exact:
        return head
    summary = f"{count(len(exact), 'field')} carried exactly"
    return head + details(summary, table(("field", "goes to"), exact, "plan"))


def event_table(study: Study) -> str:
    """Return the HTML table of events, the newest last."""
    rows = [
        (moment(when), "" if trial is None else str(trial), message)
        for when, trial, message in study.events[-MAX_EVENTS:]
    ]
    return table(("time", "trial", "what happened"), rows, "events")


def fact_texts(study: Study) -> list[tuple[str, str]]:
    """Return facts about the run, each with its term: place, times, cost, counts, strategy."""
    record, job = study.record, study.job
    counts = ", ".join(f"{many:,} {state.value}" for state in TrialState if (many := study.counts[state])) or "none"
    planned = f" (of {job.limits.trials:,})" if job.limits.trials is not None and not record.state.ended else ""
    where = f"{record.provider} ({study.plan.mode})"
    if record.profile not in ("", record.provider):
        where = f"{record.provider} ({study.plan.mode}; profile {record.profile})"
    if record.emulated:
        where = f"{record.where}, {study.plan.mode}"
    texts = [
        ("ran on", where),
        ("started", moment(record.started or record.created)),
        ("ended", moment(record.ended) or "not yet"),
        ("took", brief_duration(record.elapsed)),
        ("cost", "" if study.cost is None else str(study.cost)),
        ("trials", counts + planned),
        ("strategy", job.strategy.type + (f", {job.stopping.type} stopping" if job.stopping else "")),
    ]
    return [(term, text) for term, text in texts if text]


def facts(study: Study) -> str:
    """Return the HTML list of facts about the run: its state and `fact_texts`."""
    state = study.record.state.value
    reason = f" {escape(study.record.reason)}" if study.record.reason else ""
    first = f'<div><dt>state</dt><dd><span class="state {state}">{state}</span>{reason}</dd></div>'
    rest = "".join(f"<div><dt>{term}</dt><dd>{escape(text)}</dd></div>" for term, text in fact_texts(study))
    return f"<dl>{first}{rest}</dl>"
