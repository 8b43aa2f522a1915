"""Charts of many points are thinned for the page: what is left looks the same."""

import json
import random
from pathlib import Path

from live_pages import stored_run

from cloudtune import api
from cloudtune.report import charts
from cloudtune.report.figures import Chart
from cloudtune.report.study import study_of, trials_with_curves
from cloudtune.store.changes import one_moment
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store
from cloudtune.ui.drawings import NAMES, drawn
from cloudtune.ui.live_run import Cursor, LiveRun

RUN = "digits-1a2b"


def crowded(project: Path) -> Chart:
    """The history of a run whose trials almost all lie in few places."""
    draw = random.Random(3)
    values = [draw.choice([0.1, 0.5, 0.9]) for _ in range(6000)]
    trials = [
        Trial(n, {"C": 1.0, "kernel": "rbf"}, TrialState.COMPLETED, {"accuracy": v}) for n, v in enumerate(values)
    ]
    stored_run(project, trials=0, limits={"trials": 6000}).write(trials=trials)
    chart = charts.history(study_of(api.attach(RUN, project=project)))
    assert chart is not None
    return chart


def test_points_that_others_hide_are_left_out_and_every_place_keeps_one(tmp_path: Path) -> None:
    chart = crowded(tmp_path)
    (_, thin), *_ = drawn(study_of(api.attach(RUN, project=tmp_path)), "history")["charts"]
    full, few = chart.series[0], thin["series"][0]
    assert len(full.x) == 6000
    assert len(few["x"]) == len(few["trials"]) < 2200
    assert set(few["y"]) == {0.1, 0.5, 0.9}
    assert {(x, y) for x, y in zip(few["x"], few["y"], strict=True)} <= set(zip(full.x, full.y, strict=True))
    step = 6000 / 700
    near = {(int(x / step), y) for x, y in zip(full.x, full.y, strict=True) if x is not None}
    kept = {(int(x / step), y) for x, y in zip(few["x"], few["y"], strict=True)}
    assert len(near - {(at + off, y) for at, y in kept for off in (-1, 0, 1)}) == 0


def test_every_chart_of_a_run_without_trials_is_a_sentence_or_nothing(tmp_path: Path) -> None:
    stored_run(tmp_path, trials=0, state=RunState.WAITING)
    study = study_of(api.attach(RUN, project=tmp_path))
    assert all(drawn(study, name)["charts"] == [] for name in NAMES)


def test_running_trials_are_always_among_the_curves(tmp_path: Path) -> None:
    run = stored_run(tmp_path, trials=900, limits={"trials": 1000})
    run.write(trials=[Trial(900, {"C": 1.0, "kernel": "rbf"}, TrialState.RUNNING, attempt=1)])
    chosen, more = trials_with_curves(study_of(api.attach(RUN, project=tmp_path)))
    assert more
    assert 900 in [trial.number for trial in chosen]


def test_what_is_read_is_of_one_moment_while_another_writes(tmp_path: Path) -> None:
    stored_run(tmp_path, trials=2)
    reader, writer = RunStore(Store(tmp_path), RUN), RunStore(Store(tmp_path), RUN)
    with one_moment(reader.store):
        before = reader.counts()
        writer.write(trials=[Trial(2, {"C": 1.0, "kernel": "rbf"}, TrialState.COMPLETED, {"accuracy": 0.5})])
        assert reader.counts() == before
        assert len(reader.trials()) == 2
    assert len(reader.trials()) == 3


def test_a_cursor_that_is_none_is_that_of_the_beginning(tmp_path: Path) -> None:
    live = LiveRun(stored_run(tmp_path, trials=2))
    assert Cursor.of(str(live.cursor)) == live.cursor
    for text in ("", "x", "a.1.2", "a.1.2.x", "a.1.2.3.4", f"a.1.2.{'9' * 30}", "a.-1.2.3"):
        assert Cursor.of(text) == Cursor()
        assert len(live.since(Cursor.of(text), None)["table"]["rows"]) == 2
    assert live.since(live.cursor, live.summary()) == {}


def test_longer_limits_are_seen(tmp_path: Path) -> None:
    run = stored_run(tmp_path, trials=2)
    live = LiveRun(RunStore(Store(tmp_path), RUN))
    assert live.summary()["total"] == 40
    job = api.attach(RUN, project=tmp_path).job.to_data()
    run.write(columns={"job": json.dumps({**job, "limits": {"trials": 60}})})
    live.refresh()
    assert live.summary()["total"] == 60
