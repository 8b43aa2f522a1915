"""The model's view in a report: what it expects, and the effects of parameters, with their intervals."""

import random
from dataclasses import replace
from typing import Any

import pytest

from cloudtune.planning.plan import Plan
from cloudtune.report import model
from cloudtune.report.charts import importances
from cloudtune.report.figures import Chart
from cloudtune.report.parameters import parallel
from cloudtune.report.study import Study
from cloudtune.report.words import number
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunRecord, Trial, TrialState


def study_of(goal: str, count: int = 60, **fields: Any) -> Study:
    job = TuningJob.from_data(
        {
            "name": "j",
            "trial": {"command": "true"},
            "objective": {"metric": "score", "goal": goal},
            "space": {
                "x": {"type": "float", "low": 0, "high": 1},
                "kind": {"type": "categorical", "values": ["a", "b"]},
            },
            "limits": {"trials": count},
            **fields,
        }
    )
    source, sign = random.Random(1), 1 if goal == "minimize" else -1
    trials = []
    for place in range(count):
        x, kind = source.random(), source.choice("ab")
        loss = (x - 0.3) ** 2 + (0.5 if kind == "a" else 0.0) + source.gauss(0, 0.02)
        metrics = {"score": sign * loss, "size": 100 * x}
        trials.append(Trial(place, {"x": x, "kind": kind}, TrialState.COMPLETED, metrics))
    return Study(RunRecord("r", "r", "local", "local", "{}", "{}"), job, Plan("local", "driven", {}), trials)


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_the_view_is_in_the_values_of_the_objective_whatever_its_goal(goal: str) -> None:
    study = study_of(goal)
    text = model.expectations(study)
    best = study.insight.best()
    assert best is not None
    shown = study.sign * best.loss
    assert number(shown) in text
    assert f"trial {study.best.number if study.best else ''}, the best" in text
    shown_effects = model.effects(study)
    assert sorted(key for key, _ in shown_effects) == ["kind", "x"]
    band, line = next(chart for key, chart in shown_effects if key == "x").series
    middle = [value for value in line.y if value is not None]
    assert all(low <= value <= high for low, high, value in zip(band.low, band.high, middle, strict=True))
    turn = middle.index(min(middle) if goal == "minimize" else max(middle))
    assert line.x[turn] == pytest.approx(0.3, abs=0.11)


def test_with_constraints_the_best_is_looked_for_within_them_and_feasible_trials_lie_apart() -> None:
    study = study_of("minimize", constraints=[{"metric": "size", "min": 60}])
    best = study.insight.best()
    assert best is not None
    assert 0.55 < best.parameters["x"] < 0.8  # type: ignore[operator]
    assert "the best within the constraints" in model.expectations(study)
    chart = parallel(study)
    assert chart is not None
    values = next(axis.values for axis in chart.axes if axis.label == "feasible")
    assert set(values) == {0.0, 1.0}
    assert {shade for shade, value in zip(chart.shades, values, strict=True) if value == 0.0} == {0.0}


def test_few_trials_give_a_sentence_and_no_charts() -> None:
    study = study_of("minimize", 5)
    assert "at least 10 completed trials" in model.expectations(study)
    assert model.effects(study) == []


def test_whiskers_span_the_bar_of_each_importance() -> None:
    chart = importances(study_of("minimize", 300))
    assert isinstance(chart, Chart)
    (bars,) = chart.series
    ends = list(zip(bars.low, bars.x, bars.high, strict=True))
    assert all(value is not None and low <= value <= high for low, value, high in ends)
    assert any(value is not None and low < value for low, value, _ in ends)


def test_repetitions_are_no_trials_of_the_model() -> None:
    study = study_of("minimize")
    repeats = [Trial(60 + at, dict(study.trials[0].parameters), TrialState.COMPLETED, {"score": -9.0}, repeat_of=0) for at in range(3)]  # fmt: skip
    assert replace(study, trials=[*study.trials, *repeats]).insight.count == study.insight.count == 60
