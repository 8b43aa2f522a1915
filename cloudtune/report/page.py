"""The page: sections, charts and tables in one HTML text."""

import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from cloudtune import __version__
from cloudtune.cli.output import counts_text, duration, moment, number, scalar
from cloudtune.importance import MIN_TRIALS
from cloudtune.plan import leaves
from cloudtune.report import charts
from cloudtune.report.study import MAX_CURVES, Study
from cloudtune.states import TrialState

Section = tuple[str, str, str]
"""A heading, a sentence that says what is to be seen, and the content as HTML."""


def page(study: Study) -> str:
    """The whole page, which asks the network for nothing."""
    figures: dict[str, charts.Figure] = {}
    body = [_header(study), *(_section(*section) for section in _sections(study, figures))]
    here = files("cloudtune.report")
    title = escape(f"{study.record.name}: {study.record.id}")
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{(here / 'style.css').read_text('utf-8')}</style></head><body><main>",
        *body,
        f"<footer>Written by cloudtune {escape(__version__)} on {moment(_latest(study))}.</footer></main>",
        f"<script>{_script_text((files('plotly') / 'package_data' / 'plotly.min.js').read_text('utf-8'))}</script>",
        f'<script type="application/json" id="figures">{_json(figures)}</script>',
        f'<script type="application/json" id="trials">{_json(_trial_table(study))}</script>',
        f"<script>{(here / 'page.js').read_text('utf-8')}</script>",
        "</body></html>",
    ]
    return "\n".join(parts)


def _latest(study: Study) -> float:
    return max([study.record.created, study.record.ended or 0, *(when for when, _, _ in study.events)])


def _json(data: object) -> str:
    """JSON that is safe inside of a script element, without numbers that JSON does not have."""
    text = json.dumps(_finite(data), separators=(",", ":"), ensure_ascii=False)
    return (
        text.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _finite(data: Any) -> Any:  # plain data
    if isinstance(data, float):
        if not math.isfinite(data):
            return None
        return float(f"{data:.8g}")
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(item) for item in data] if isinstance(data, list | tuple) else data


def _script_text(script: str) -> str:
    return script.replace("</script", "<\\/script")


def _section(heading: str, sentence: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2><p class=caption>{escape(sentence)}</p>{content}</section>"


def _chart(figures: dict[str, charts.Figure], name: str, figure: charts.Figure) -> str:
    figures[name] = figure
    height = figure["layout"]["height"]
    return f'<div class="chart" id="chart-{escape(name)}" style="min-height:{height}px"></div>'


def _header(study: Study) -> str:
    record, counts = study.record, _counts(study)
    facts = [
        (
            "state",
            f'<span class="state {record.state.value}">{record.state.value}</span> {escape(record.reason)}',
        ),
        ("ran on", escape(f"{record.profile} ({record.provider}, {study.plan.mode})")),
        ("started", escape(moment(record.started or record.created))),
        ("took", escape(duration(record.elapsed))),
        ("trials", escape(counts_text(counts) or "none")),
        ("strategy", escape(study.job.strategy.type)),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f"<header><h1>{escape(record.name)}</h1><p class=id>run {escape(record.id)}</p><dl>{rows}</dl>{_best(study)}</header>"


def _counts(study: Study) -> dict[str, int]:
    return {state.value: sum(trial.state is state for trial in study.trials) for state in TrialState}


def _best(study: Study) -> str:
    if len(study.job.objective) > 1:
        return f"<p class=best>{len(study.front)} trials are beaten by no other in every objective.</p>"
    if study.best is None:
        return "<p class=best>No trial has ended well.</p>"
    best = study.best
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td><code>{escape(scalar(value))}</code></td></tr>"
        for name, value in best.parameters.items()
    )
    text = escape(json.dumps(best.parameters), quote=True)
    value = escape(number(best.metrics[study.objective.metric]))
    return (
        f"<div class=best><p>The best of {len(study.completed)} completed trials is trial {best.number}: "
        f"<strong>{escape(study.objective.metric)} = {value}</strong> ({study.objective.goal}d).</p>"
        f'<table class="parameters">{rows}</table><button type="button" data-copy="{text}">Copy parameters as JSON</button></div>'
    )


def _sections(study: Study, figures: dict[str, charts.Figure]) -> list[Section]:
    metric = study.objective.metric
    outliers = " Outliers lie outside of the axis; a double click shows all." if charts.focus(study) else ""
    sections: list[Section] = []
    if any(trial.ended for trial in study.trials):
        sections.append(
            ("Objective over time", f"Every ended trial's {metric}, and the best so far; trials without a value stand at the worse edge.{outliers}",
             _chart(figures, "history", charts.history(study)))
        )  # fmt: skip
    front = charts.front(study)
    if front is not None:
        names = " and ".join(each.metric for each in study.job.objective[:2])
        sections.append(
            (
                "Pareto front",
                f"Completed trials by {names}; diamonds are beaten by none.",
                _chart(figures, "front", front),
            )
        )
    sections += _parameter_sections(study, figures)
    curves = charts.curves(study)
    if curves is not None:
        most = f" Of many, those of the {MAX_CURVES} best trials." if len(study.curves) >= MAX_CURVES else ""
        said = f"{metric} over the steps; thick is the best trial, dotted were pruned.{most}"
        sections.append(("Learning curves", said, _chart(figures, "curves", curves)))
    timeline = charts.timeline(study)
    if timeline is not None and len(study.trials) <= 1000:
        sections.append(("Timeline", "When each trial ran.", _chart(figures, "timeline", timeline)))
    sections.append(("Trials", "Click a heading to sort; type to filter.", _TRIAL_TABLE))
    sections.append(("Plan", f"What {study.plan.provider} did with each field of the job.", _plan_table(study)))
    if study.events:
        sections.append(("Events", "What happened and is worth a line.", _event_table(study)))
    sections.append(
        (
            "Job",
            "The spec; values of environment variables are masked.",
            f"<pre>{escape(study.job.to_yaml())}</pre>",
        )
    )
    return sections


def _parameter_sections(study: Study, figures: dict[str, charts.Figure]) -> list[Section]:
    metric = study.objective.metric
    sections: list[Section] = []
    importances = charts.importances(study)
    if importances is not None:
        said = f"How much each parameter decides whether {metric} is among the best tenth (PED-ANOVA)."
        sections.append(("Parameter importance", said, _chart(figures, "importance", importances)))
    elif study.completed:
        sections.append(
            (
                "Parameter importance",
                f"Not shown: it takes at least {MIN_TRIALS} completed trials and a parameter that varies.",
                "",
            )
        )
    parallel = charts.parallel(study)
    if parallel is not None:
        said = (
            f"Each completed trial is a line through its parameters; drag along an axis to select. Colour is {metric}."
        )
        sections.append(("Parallel coordinates", said, _chart(figures, "parallel", parallel)))
    slices = charts.slices(study)
    if slices:
        grid = "".join(_chart(figures, f"slice-{index}", figure) for index, (_, figure) in enumerate(slices))
        sections.append(
            (
                "Each parameter",
                f"{metric} by the value of each parameter, on the parameter's own scale.",
                f'<div class="grid">{grid}</div>',
            )
        )
    return sections


_TRIAL_TABLE = """<input type="search" id="filter" placeholder="filter, e.g. failed" aria-label="filter trials">
<div class="scroll"><table id="trial-table"><thead></thead><tbody></tbody></table></div>
<p id="pages"><button type="button" id="previous">previous</button> <span id="page"></span> <button type="button" id="next">next</button></p>"""


def _trial_table(study: Study) -> dict[str, Any]:
    """The columns and rows of the trial table, which the page draws a part at a time."""
    metrics = list(
        dict.fromkeys(
            [each.metric for each in study.job.objective] + [name for trial in study.trials for name in trial.metrics]
        )
    )
    names = list(study.job.space)
    rows = [
        [
            trial.number, trial.state.value, *(trial.metrics.get(name) for name in metrics),
            *(scalar(trial.parameters[name]) if isinstance(trial.parameters.get(name), bool | None) and name in trial.parameters
              else trial.parameters.get(name) for name in names),
            None if trial.duration is None else round(trial.duration, 3), trial.attempt, trial.reason,
        ]
        for trial in study.trials
    ]  # fmt: skip
    return {"columns": ["trial", "state", *metrics, *names, "seconds", "attempt", "why"], "rows": rows}


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope=col>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _plan_table(study: Study) -> str:
    rows = []
    for path, _ in leaves(study.job):
        support = study.plan.support(path)
        notes = "; ".join(
            note.message for note in study.plan.notes if path == note.path or path.startswith(note.path + ".")
        )
        rows.append((path, support.value if support else "", notes))
    changed = [row for row in rows if row[1] != "exact"]
    exact = f"<p>{len(rows) - len(changed)} of {len(rows)} fields are carried exactly.</p>"
    whole = f"<details><summary>All fields</summary>{_table(('field', 'support', 'what happened'), rows)}</details>"
    return exact + (_table(("field", "support", "what happened"), changed) if changed else "") + whole


def _event_table(study: Study) -> str:
    rows = [
        (moment(when), "" if trial is None else str(trial), message) for when, trial, message in study.events[-200:]
    ]
    return _table(("time", "trial", "message"), rows)
