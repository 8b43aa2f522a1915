"""What the live page is told of runs: the same as the commands and the report say, and only what is new."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_pages import Client, served, stored_run

from cloudtune import api
from cloudtune.looking.data import best_text
from cloudtune.report import charts
from cloudtune.report.study import study_of
from cloudtune.report.words import number
from cloudtune.results.tables import trial_rows
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store
from cloudtune.ui.encoding import encoded

RUN = "digits-1a2b"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    stored_run(tmp_path)
    return tmp_path


@pytest.fixture
def client(project: Path) -> Iterator[Client]:
    with served(project) as found:
        yield found


def until(events: Iterator[tuple[str, str, Any]], kind: str, name: str) -> tuple[str, Any]:
    """The next message of a kind that has something, with its id."""
    return next((key, data) for heard, key, data in events if heard == kind and data.get(name))


def test_the_list_says_what_ls_says(client: Client, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_run(project, "digits-2b3c", state=RunState.CANCELLED, trials=3)
    whole: list[str] = []
    for reading in ("changes", "trials"):
        monkeypatch.setattr(RunStore, reading, lambda self, *_: whole.append(self.id) or (0, []))
    with client.stream(("list", "1")) as events:
        _, data = until(events, "list", "runs")
    assert not whole, "to read all trials of runs that have ended takes seconds"
    monkeypatch.undo()
    assert {row["id"] for row in data["runs"]} == {RUN, "digits-2b3c"}
    row, run = next(row for row in data["runs"] if row["id"] == RUN), api.attach(RUN, project=project)
    assert row["best"] == best_text(run, number)
    assert (row["state"], row["trials"], row["total"]) == ("completed", 20, 40)


def test_a_run_comes_whole_and_then_what_changes(client: Client, project: Path) -> None:
    store = RunStore(Store(project), RUN)
    with client.stream(("run", RUN)) as events:
        _, first = until(events, "run", "table")
        assert len(first["table"]["rows"]) == 20
        assert first["summary"]["counts"] == {"completed": 18, "failed": 2}
        assert [message for _, _, message in first["events"]] == ["run started"]
        store.write(trials=[Trial(20, {"C": 1.0, "kernel": "rbf"}, TrialState.COMPLETED, {"accuracy": 2.0})])
        _, second = until(events, "run", "rows")
        assert "table" not in second
        assert [row[:3] for row in second["rows"]] == [[20, "completed", 2.0]]
        assert second["version"] != first["version"]


def test_a_page_that_was_away_gets_what_it_missed_and_nothing_twice(client: Client, project: Path) -> None:
    store = RunStore(Store(project), RUN)
    with client.stream(("run", RUN)) as events:
        last, _ = until(events, "run", "table")
    store.write(
        trials=[Trial(20, {"C": 1.0, "kernel": "rbf"}, TrialState.COMPLETED, {"accuracy": 0.5})], events=[(20, "here")]
    )
    with client.stream(("run", RUN), last=last) as events:
        _, missed = until(events, "run", "rows")
    assert "table" not in missed
    assert [row[0] for row in missed["rows"]] == [20]
    assert [message for _, _, message in missed["events"]] == ["here"]


def test_a_new_metric_or_a_run_that_begins_anew_is_sent_whole(client: Client, project: Path) -> None:
    store = RunStore(Store(project), RUN)
    with client.stream(("run", RUN)) as events:
        until(events, "run", "table")
        store.write(trials=[Trial(20, {"C": 1.0}, TrialState.COMPLETED, {"accuracy": 0.5, "extra": 1.0})])
        _, wider = until(events, "run", "table")
        assert "extra" in wider["table"]["columns"]
        store.forget_trials()
        store.write(trials=[Trial(0, {"C": 1.0}, TrialState.RUNNING, attempt=1)])
        _, anew = until(events, "run", "table")
        assert [row[:2] for row in anew["table"]["rows"]] == [[0, "running"]]


def test_a_running_trial_shows_what_it_reported_last(client: Client, project: Path) -> None:
    store = RunStore(Store(project), RUN)
    store.write(trials=[Trial(20, {"C": 1.0, "kernel": "rbf"}, TrialState.RUNNING, attempt=2)])
    store.write(reports=[Report(20, 1, 9, 0.0, {"accuracy": 0.9}), Report(20, 2, 1, 0.0, {"accuracy": 0.1})])
    with client.stream(("run", RUN)) as events:
        _, first = until(events, "run", "table")
        assert first["table"]["rows"][20][2] == 0.1
        store.write(reports=[Report(20, 2, 2, 0.0, {"accuracy": 0.2})])
        _, second = until(events, "run", "rows")
        assert [row[:3] for row in second["rows"]] == [[20, "running", 0.2]]
        found = client.get("/api/charts", ("run", RUN), ("name", "curves"))
        line = next(each for each in found["charts"]["curves"]["charts"][0][1]["series"] if each["trials"] == [20])
        assert line["y"] == [0.1, 0.2]


def test_charts_are_those_of_the_report_and_come_once_a_version(client: Client, project: Path) -> None:
    found = client.get("/api/charts", ("run", RUN), ("name", "history"), ("name", "importance"))
    chart = charts.history(study_of(api.attach(RUN, project=project)))
    assert chart is not None
    assert found["charts"]["history"]["charts"] == [["accuracy", json.loads(encoded(chart.to_data()))]]
    again = f"/api/charts?run={RUN}&name=history&since={found['version']}"
    assert client.ask("GET", again)[0] == 204
    assert client.ask("GET", f"/api/charts?run={RUN}&name=nonsense")[0] == 400
    every = ["front", "parallel", "slices", "model", "curves", "timeline", "cost"]
    more = client.get("/api/charts", ("run", RUN), *(("name", name) for name in every))
    assert {name for name, each in more["charts"].items() if each["charts"]} >= {
        "parallel",
        "slices",
        "curves",
        "timeline",
    }


def test_tables_to_save_are_those_of_the_command(client: Client, project: Path) -> None:
    status, headers, body = client.ask("GET", f"/api/table?run={RUN}")
    assert status == 200
    assert headers["content-disposition"] == f'attachment; filename="{RUN}-trials.csv"'
    run = api.attach(RUN, project=project)
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [row["number"] for row in rows] == [str(trial.number) for trial in run.trials()]
    assert list(rows[0]) == list(trial_rows(run.trials())[0])
    reports = client.get("/api/table", ("run", RUN), ("of", "reports"), ("as", "json"))
    assert len(reports) == 60


def test_the_plan_names_every_field(client: Client) -> None:
    found = client.get("/api/plan", ("run", RUN))
    assert "space.C.low" in [field for field, _ in found["exact"]]
    assert found["job"].startswith("name: digits")


def test_runs_beside_each_other_have_a_line_each(client: Client, project: Path) -> None:
    stored_run(project, "digits-2b3c", trials=5)
    stored_run(project, "other-1", trials=5, objective={"metric": "loss", "goal": "minimize"})
    found = client.get("/api/compare", ("run", RUN), ("run", "digits-2b3c"), ("run", "other-1"))
    names = [[series["name"] for series in chart["series"]] for _, chart in found["charts"]]
    assert names == [[RUN, "digits-2b3c"]] * 2
    assert "1 of the runs have another objective" in found["charts"][0][1]["caption"]
    assert client.ask("GET", f"/api/compare?run={RUN}")[0] == 400


def test_what_is_not_there_is_told(client: Client) -> None:
    status, _, body = client.ask("GET", "/api/plan?run=nowhere")
    assert status == 404
    assert "there is no run 'nowhere'" in json.loads(body)["error"]
    with client.stream(("run", "nowhere")) as events:
        kind, _, data = next(events)
        assert kind == "problem"
        assert "nowhere" in data["problem"]
