"""Charts as figures of plotly: each is one that plotly accepts, and shows texts of a run as they are."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cloudtune.planning.plan import Plan
from cloudtune.report import charts, model, parameters
from cloudtune.report.figures import Axis, Chart, Drawing, Series
from cloudtune.report.plotly_figures import MANY, plotly_figure
from cloudtune.report.study import Study
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunRecord, Trial, TrialState


def drawings(study: Study) -> Iterator[tuple[str, Drawing]]:
    """Every chart of a study, by the name of its kind."""
    found: list[tuple[str, Drawing | str | None]] = [
        ("history", charts.history(study)), ("importance", charts.importances(study)), ("curves", charts.curves(study)),
        ("timeline", charts.timeline(study)), ("parallel", parameters.parallel(study)),
        *(("front", chart) for chart in charts.front(study)), *(("effect", chart) for _, chart in model.effects(study)),
        *(("slice", chart) for _, chart in parameters.slices(study)),
    ]  # fmt: skip
    yield from ((name, chart) for name, chart in found if chart is not None and not isinstance(chart, str))


@pytest.fixture(scope="module")
def study() -> Study:
    """Sixty trials in all states, with two objectives and a name that is markup."""
    draw = random.Random(1)
    job = TuningJob.from_data(
        {
            "name": "j",
            "trial": {"command": "true"},
            "objective": [{"metric": "<b>loss", "goal": "minimize"}, {"metric": "speed", "goal": "maximize"}],
            "space": {
                "<i>x": {"type": "float", "low": 1e-4, "high": 1, "scale": "log"},
                "kind": {"type": "categorical", "values": ["<u>a", "b"]},
            },
            "limits": {"trials": 60},
        }
    )
    states = [TrialState.FAILED, TrialState.PRUNED, TrialState.RUNNING, *[TrialState.COMPLETED] * 9]
    trials = []
    for number in range(60):
        x, kind, state = draw.random(), draw.choice(["<u>a", "b"]), states[number % 12]
        metrics = {} if state is TrialState.FAILED else {"<b>loss": 10 ** (4 * x), "speed": x}
        ended = None if state is TrialState.RUNNING else number + 5.0
        trials.append(Trial(number, {"<i>x": 1e-4 + x / 2, "kind": kind}, state, metrics, "", 1, float(number), ended))
    curves = {number: [(step, 1.0 / step if step != 2 else math.nan) for step in range(1, 6)] for number in range(60)}
    return Study(RunRecord("r", "r", "l", "l", "{}", "{}"), job, Plan("l", "driven", {}), trials, curves=curves)


def test_plotly_accepts_every_chart(study: Study) -> None:
    from plotly import graph_objects as go

    seen = set()
    for name, drawing in drawings(study):
        seen.add(name)
        assert go.Figure(plotly_figure(drawing, {3: "the third"})).data
    assert seen == {"history", "importance", "curves", "timeline", "parallel", "front", "effect", "slice"}


def test_texts_of_a_run_are_no_markup_in_a_figure(study: Study) -> None:
    slices = dict(parameters.slices(study))
    layout = plotly_figure(slices["<i>x"])["layout"]
    assert layout["xaxis"]["title"]["text"] == "&lt;i&gt;x"
    assert layout["yaxis"]["title"]["text"] == "&lt;b&gt;loss"
    assert plotly_figure(slices["kind"])["layout"]["xaxis"]["ticktext"][0] == "&lt;u&gt;a"


def test_a_series_stands_once_in_the_legend_and_its_trials_have_their_texts(study: Study) -> None:
    chart = charts.curves(replace(study, aim=0))
    assert chart is not None
    traces: list[dict[str, Any]] = plotly_figure(chart, {3: "the third"})["data"]
    named = [trace["name"] for trace in traces if trace["showlegend"]]
    assert len(named) == len(set(named)) < len(traces)
    third = next(trace for trace in traces if trace["customdata"][0] == 3)
    assert third["hovertext"] == ["the third"] * len(third["x"])


def test_the_ends_of_a_log_axis_are_powers_and_many_points_are_drawn_fast() -> None:
    dots = Series("points", "", [float(at) for at in range(MANY + 1)], [1.0] * (MANY + 1), size=5)
    figure = plotly_figure(Chart("c", Axis("x"), Axis("y", "log", (0.01, 1000.0)), [dots]))
    assert figure["layout"]["yaxis"]["range"] == [-2.0, 3.0]
    assert figure["data"][0]["type"] == "scattergl"
