"""run.plot: figures with the data of the report's charts, and words where there is nothing to draw."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from plain_jobs import plain_data

from cloudtune import tune
from cloudtune.errors import ConfigError, TrialError
from cloudtune.planning.plan import Plan
from cloudtune.provider.interface import Provider
from cloudtune.report import charts, parameters
from cloudtune.report.figures import Chart
from cloudtune.report.plotly_layout import plotly_grid
from cloudtune.report.study import study_of
from cloudtune.run import Run
from cloudtune.space.space import Values
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import Store

ONE = [{"metric": "<i>loss", "goal": "minimize"}]
TWO = [*ONE, {"metric": "speed", "goal": "maximize"}]
SPACE = {
    "x<b>": {"type": "float", "low": 1e-4, "high": 1, "scale": "log"},
    "kind": {"type": "categorical", "values": ["a&b", "c"]},
    "y": {"type": "float", "low": 0, "high": 1},
    "z": {"type": "int", "low": 0, "high": 4},
    "only": {"type": "categorical", "values": [1]},
}


def some_trials(many: int) -> list[Trial]:
    """Trials in three states, whose loss depends on x."""
    trials = []
    for number in range(many):
        share = (number * 0.618) % 1
        state = [TrialState.COMPLETED, TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED][number % 4]
        metrics = {} if state is TrialState.FAILED else {"<i>loss": 1 + share, "speed": 5 * share}
        values: Values = {
            "x<b>": 10 ** (-4 * share),
            "kind": ["a&b", "c"][number % 2],
            "y": share,
            "z": number % 5,
            "only": 1,
        }
        why = "out of <memory>" if state is TrialState.FAILED else ""
        trials.append(Trial(number, values, state, metrics, why, 1, float(number), number + 1.0))
    return trials


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    def make(
        trials: list[Trial],
        reports: int = 0,
        objectives: list[dict[str, str]] = ONE,
        state: RunState = RunState.COMPLETED,
    ) -> Run:
        job = TuningJob.from_data(plain_data(objective=objectives, space=SPACE, limits={"trials": 60}))
        plan = Plan("local", "driven", {})
        record = RunRecord("j-1", "j", "local", "local", json.dumps(job.to_data()), json.dumps(plan.to_data()), state)
        stored = Store(tmp_path).create(record)
        told = [
            Report(each.number, 1, step, float(step), {name: value / step for name, value in each.metrics.items()})
            for each in trials
            for step in range(1, reports + 1)
            if each.metrics
        ]
        stored.write(trials=trials, reports=told)
        return Run(stored, cast("Provider", None))

    return make


def plotted(figure: Any) -> dict[str, tuple[list[Any], list[Any]]]:
    """The values of each named trace of a figure."""
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data if trace.name}


def charted(chart: Chart | None) -> dict[str, tuple[list[Any], list[Any]]]:
    assert chart is not None
    return {each.name: (list(each.x), list(each.y)) for each in chart.series if each.name}


def test_the_figures_have_the_data_of_the_report(run_of: Callable[..., Run]) -> None:
    from plotly.graph_objects import Figure

    run = run_of(some_trials(60), reports=3)
    study = study_of(run)
    history, curves, lines = run.plot.history(), run.plot.curves(), run.plot.parallel()
    for figure in (history, curves, lines, run.plot.importance(), run.plot.slice()):
        assert isinstance(figure, Figure)
        assert figure.layout.title.subtitle.text
    assert plotted(history) == charted(charts.history(study))
    assert len(curves.data) == len(study.curves) == 45
    found = parameters.parallel(study)
    assert found is not None
    assert [list(each["values"]) for each in lines.data[0].dimensions] == [list(axis.values) for axis in found.axes]
    assert history.layout.yaxis.title.text == "&lt;i&gt;loss"
    assert (
        history.data[0].hovertext[0].startswith("trial 0, completed<br>&lt;i&gt;loss = 1<br>speed = 0<br>x&lt;b&gt; = ")
    )
    parts = [share for share in run.plot.importance().data[0].x if share]
    assert math.isclose(sum(parts), 1)


def test_slices_stand_beside_each_other_with_one_legend(run_of: Callable[..., Run]) -> None:
    run = run_of(some_trials(60))
    figure, charts_ = run.plot.slice(), dict(parameters.slices(study_of(run)))
    titles = [axis.title.text for axis in figure.select_xaxes()]
    assert titles == ["x&lt;b&gt;", "kind", "y", "z"]
    places = {(*axis.domain, *figure.layout[f"yaxis{axis.anchor[1:]}"].domain) for axis in figure.select_xaxes()}
    assert len(places) == 4
    assert all(0 <= low < high <= 1 for place in places for low, high in (place[:2], place[2:]))
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(legend) == ["completed", "pruned"]
    alone = plotly_grid([charts_["kind"]])["layout"]
    assert alone["showlegend"]
    assert alone["margin"]["t"] >= 30  # the legend's place
    one = run.plot.slice("kind")
    assert plotted(one) == charted(charts_["kind"])
    assert one.layout.title.subtitle.text == "&lt;i&gt;loss by kind: 45 trials."
    assert [axis.title.text for axis in one.select_xaxes()] == ["kind"]


def test_one_of_several_objectives_is_named(run_of: Callable[..., Run]) -> None:
    run = run_of(some_trials(40), reports=2, objectives=TWO)
    for draw in (run.plot.history, run.plot.parallel, run.plot.slice, run.plot.curves):
        with pytest.raises(
            ConfigError, match=r"several objectives, '<i>loss', 'speed'; name the one to draw: objective="
        ):
            draw()
        assert "speed" in draw(objective="speed").layout.title.text
    assert list(run.plot.curves(objective="speed").data[0].y) == [0, 0]  # the first trial's
    assert {trace.name for trace in run.plot.importance().data} == {"&lt;i&gt;loss", "speed"}
    with pytest.raises(ConfigError, match="no objective 'sped': did you mean 'speed'"):
        run.plot.history(objective="sped")


def test_where_there_is_nothing_to_draw_the_reason_is_said(run_of: Callable[..., Run]) -> None:
    run = run_of([trial for trial in some_trials(20) if trial.state is TrialState.FAILED])
    failed = r"5 trials failed with: out of <memory>"
    for draw, why in (
        (run.plot.history, "nothing to draw: no trial has ended with a value"),
        (run.plot.parallel, "it takes two completed trials, and there are 0"),
        (run.plot.importance, "it takes at least 10 completed trials; there are 0"),
        (run.plot.slice, "no trial has a value of the objective"),
        (run.plot.curves, "no trial has reported <i>loss more than once"),
    ):
        with pytest.raises(TrialError, match=rf"{why}.*{failed}"):
            draw()


def test_what_cannot_be_drawn_of_a_parameter_is_said(run_of: Callable[..., Run]) -> None:
    run = run_of(some_trials(20))
    with pytest.raises(ConfigError, match="no parameter 'kin': did you mean 'kind'"):
        run.plot.slice("kin")
    with pytest.raises(TrialError, match="only never has more than one value"):
        run.plot.slice("only")


def test_plots_without_plotly_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tune(lambda x: x, {"x": (0.0, 1.0)}, minimize="loss", trials=3, strategy="random", project=tmp_path)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ConfigError, match=r"plots need plotly: pip install .*\[plots\]"):
        run.plot.history()
