"""The page of a report: one HTML text with charts and tables that loads nothing from the network."""

import json
from html import escape
from pathlib import Path

from cloudtune.plugins.version import __version__
from cloudtune.report import charts, costs, model, parameters, tables
from cloudtune.report.figures import Drawing
from cloudtune.report.study import Study
from cloudtune.report.web_files import digest, one_script, web_file
from cloudtune.report.words import count, moment
from cloudtune.results.json_data import json_data, rounded

_GENERATOR = '<meta name="generator" content="cloudtune">'

_REFUSES_ALL = "default-src 'none'"
"""The beginning of the policy of every report, by which the browser loads nothing."""


def page(study: Study) -> str:
    """Return the whole page as HTML."""
    figures: dict[str, Drawing] = {}
    sections = "\n".join(_sections(study, figures))
    style, script = web_file("theme.css") + web_file("report.css"), one_script("report.js")
    drawn = {name: chart.to_data() for name, chart in figures.items()}
    # Only this style and this script are allowed; elements are sized by the script, which a policy does not concern.
    policy = f"{_REFUSES_ALL}; style-src {digest(style)}; script-src {digest(script)}"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"{_GENERATOR}",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(study.record.name)}: {escape(study.record.id)}</title>",
            f"<style>{style}</style></head><body>",
            f"<header><h1>{escape(study.record.name)}</h1>",
            f'<p class="id">run {escape(study.record.id)}</p>{tables.facts(study)}</header>',
            "<main>",
            "<noscript><p>The charts and the table of trials need JavaScript.</p></noscript>",
            tables.outcome(study),
            sections,
            "</main>",
            f"<footer>Written by cloudtune {escape(__version__)}; the run as it was on {escape(moment(study.latest))}.</footer>",
            f'<script type="application/json" id="figures">{_json(drawn)}</script>',
            f'<script type="application/json" id="trials">{_json(tables.trial_table(study))}</script>',
            f"<script>{script}</script>",
            "</body></html>\n",
        ]
    )


def _json(data: object) -> str:
    """Return data as JSON that cannot end its script element; numbers that are not finite become null."""
    text = json.dumps(json_data(data, number=rounded), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _sections(study: Study, figures: dict[str, Drawing]) -> list[str]:
    sections = [
        *_progress_sections(study, figures),
        *_parameter_sections(study, figures),
        *_run_sections(study, figures),
        _section("Trials", _TRIALS) if study.trials else _section("Trials", _caption("There are no trials yet.")),
        _section(
            "Plan", _caption(f"What {study.plan.provider} does with each field of the job.") + tables.plan_table(study)
        ),
    ]
    if study.events:
        caption = "What happened, in the order of time."
        if len(study.events) > tables.MAX_EVENTS:
            caption = f"The last {tables.MAX_EVENTS} of {count(len(study.events), 'event')}."
        shown = tables.event_table(study)
        long = len(study.events) > 12
        sections.append(_section("Events", _caption(caption) + (tables.details("Show them", shown) if long else shown)))
    intro = _caption("The spec. Values of environment variables are masked.")
    sections.append(_section("Job", intro + tables.snippet("job.yaml", study.job.to_yaml())))
    return sections


def _progress_sections(study: Study, figures: dict[str, Drawing]) -> list[str]:
    histories = [charts.history(study.aimed(aim)) for aim in range(len(study.job.objective))]
    shown = [_chart(figures, f"history-{aim}", chart) for aim, chart in enumerate(histories) if chart]
    sections = (
        [_section("Objective over time" if len(histories) == 1 else "Objectives over time", "".join(shown))]
        if shown
        else []
    )
    pairs = [_chart(figures, f"front-{index}", chart) for index, chart in enumerate(charts.front(study))]
    if pairs:
        sections.insert(0, _section("Pareto front", "".join(pairs)))
    return sections


def _parameter_sections(study: Study, figures: dict[str, Drawing]) -> list[str]:
    if not study.ranked:
        return []
    importance = charts.importances(study)
    intro = _caption(importance) if isinstance(importance, str) else _chart(figures, "importance", importance)
    sections = [_section("Parameter importance", intro)]
    effects = model.effects(study)
    drawn = [_chart(figures, f"effect-{at}", chart, shared_caption=True) for at, (_, chart) in enumerate(effects)]
    grid = f'{_caption(model.effects_caption(study, effects))}<div class="grid">{"".join(drawn)}</div>' if drawn else ""
    sections.append(_section("The model\u2019s view", model.expectations(study) + grid))
    parallel = parameters.parallel(study)
    if parallel is not None:
        sections.append(_section("Parallel coordinates", _chart(figures, "parallel", parallel)))
    slices = parameters.slices(study)
    if slices:
        shown = [
            _chart(figures, f"slice-{index}", chart, shared_caption=True) for index, (_, chart) in enumerate(slices)
        ]
        intro = _caption(parameters.slices_caption(study, slices))
        sections.append(_section("Each parameter", f'{intro}<div class="grid">{"".join(shown)}</div>'))
    return sections


def _run_sections(study: Study, figures: dict[str, Drawing]) -> list[str]:
    found = [
        ("Learning curves", "curves", charts.curves(study)),
        ("Timeline", "timeline", charts.timeline(study)),
        ("Cost over time", "cost", costs.spending(study)),
    ]
    return [_section(heading, _chart(figures, name, chart)) for heading, name, chart in found if chart]


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def _caption(text: str) -> str:
    return f'<p class="caption">{escape(text)}</p>'


def _chart(figures: dict[str, Drawing], name: str, chart: Drawing, *, shared_caption: bool = False) -> str:
    """Add a chart to the figures and return its HTML element, without a caption if several charts share one."""
    figures[name] = chart
    inside = "" if shared_caption else f"<figcaption>{escape(chart.caption)}</figcaption>"
    shared = ' data-shared="yes"' if shared_caption else ""
    return f'<figure class="chart" id="chart-{name}"{shared}>{inside}</figure>'


_TRIALS = """<p class="caption">Choose a heading to sort by it. The filter takes words that a row must have, and conditions
such as <code>state=failed</code> or <code>seconds&gt;60</code>.</p>
<p class="tools"><label for="filter">Filter</label> <input type="search" id="filter" autocomplete="off" spellcheck="false">
<span id="place" class="soft" aria-live="polite"></span></p>
<div id="trial-table"></div>"""


def is_report(path: Path) -> bool:
    """Return whether a file is a report written by this or an earlier version of cloudtune."""
    try:
        with path.open("rb") as file:
            head = file.read(2000).decode("utf-8", "replace")
    except OSError:
        return False
    return _GENERATOR in head or (head.startswith("<!doctype html>") and _REFUSES_ALL in head)
