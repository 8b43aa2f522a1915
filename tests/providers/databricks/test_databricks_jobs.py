"""What the runner of trials asks of a workspace: few calls however many runs others have there, and none that makes a run twice."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.driver.outputs import RunBrief
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial, TrialState
from cloudtune_databricks.provider import DatabricksProvider
from cloudtune_databricks.request import task_of

if LATE:
    pytest.importorskip("databricks.sdk")
    from cloudtune_databricks.jobs import DatabricksRunner

VOLUME = "/Volumes/main/default/tuning"


class Recorded:
    """A workspace that keeps what it is asked, with as many active runs of others as a test says."""

    def __init__(self, others: int = 0) -> None:
        self.calls: Counter[str] = Counter()
        self.runs: dict[int, dict[str, Any]] = {}
        self.cancelled: list[int] = []
        self.files: dict[str, bytes] = {}
        self.since: list[float] = []
        self.said: dict[str, Any] = {"logs": "score=0.5\nend"}
        self._others = others

    def submit(self, request: dict[str, Any], _: str) -> int:
        self.calls["submit"] += 1
        known = [
            key for key, run in self.runs.items() if run["said"]["idempotency_token"] == request["idempotency_token"]
        ]
        key = known[0] if known else len(self.runs) + 1
        state = {"life_cycle_state": "RUNNING"}
        task = {"run_id": 100 + key, "start_time": 1000, "state": state}
        self.runs[key] = {
            "run_id": key,
            "run_name": request["run_name"],
            "state": state,
            "tasks": [task],
            "said": request,
        }
        return key

    def pages(self, *, since: float | None = None, active: bool = False) -> Iterator[list[dict[str, Any]]]:
        self.since += [] if since is None else [since]
        own = [run for run in self.runs.values() if not active or run["state"]["life_cycle_state"] == "RUNNING"]
        all_runs = [
            *({"run_id": 5000 + each, "run_name": "another's", "state": {}} for each in range(self._others)),
            *own,
        ]
        for begin in range(0, max(len(all_runs), 1), 24):
            self.calls["list"] += 1
            yield all_runs[begin : begin + 24]

    def run(self, run_id: int) -> dict[str, Any] | None:
        self.calls["get"] += 1
        return self.runs.get(run_id)

    def output(self, task: int) -> dict[str, Any]:
        self.calls["output"] += 1
        return self.said

    def cancel(self, run_id: int) -> None:
        self.cancelled.append(run_id)

    def entries(self, path: str) -> list[dict[str, Any]]:
        self.calls["entries"] += 1
        return [{"path": each} for each in self.files if each.rpartition("/")[0] == path]

    def get(self, path: str) -> bytes:
        self.calls["file"] += 1
        return self.files[path]

    def put(self, path: str, file: Path) -> None:
        self.files[path] = file.read_bytes()

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def end(self, run_id: int, result: str = "SUCCESS") -> None:
        self.runs[run_id]["state"] = {"life_cycle_state": "TERMINATED", "result_state": result}
        self.runs[run_id]["tasks"][0] |= {
            "state": self.runs[run_id]["state"],
            "end_time": 9000,
            "execution_duration": 8000,
        }


def runner_on(workspace: Recorded, folder: Path, **fields: Any) -> DatabricksRunner:
    data = {
        "name": "tune",
        "trial": {"source": "src", "command": "python train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 4},
        **fields,
    }
    job = TuningJob.from_data(data).driven()
    plan = DatabricksProvider({"volume": VOLUME}).plan(job)
    brief = RunBrief("tune-1", job, plan, {}, 5000.0, 1.0, lambda: dict(plan.request), folder)
    runner = DatabricksRunner(workspace, brief)  # type: ignore[arg-type]
    runner.prepare()
    return runner


def trial(number: int, attempt: int = 1, **values: Any) -> Trial:
    return Trial(number, values or {"x": 0.5}, attempt=attempt)


def test_among_many_runs_of_others_each_trial_costs_no_more_than_a_call(tmp_path: Path) -> None:
    workspace = Recorded(others=1000)
    runner = runner_on(workspace, tmp_path)
    trials = [trial(number) for number in range(6)]
    for each in trials:
        runner.submit(each)
    workspace.calls.clear()
    seen = runner.poll(trials)
    assert {each.state for each in seen} == {TrialState.RUNNING}
    assert workspace.calls["list"] + workspace.calls["get"] <= 2 * len(trials)
    assert workspace.calls["entries"] == 1


def test_alone_in_the_workspace_one_list_tells_of_all(tmp_path: Path) -> None:
    workspace = Recorded()
    runner = runner_on(workspace, tmp_path)
    trials = [trial(number) for number in range(20)]
    for each in trials:
        runner.submit(each)
    workspace.calls.clear()
    runner.poll(trials)
    assert workspace.calls == {"list": 1, "entries": 1}


def test_reports_come_by_pieces_and_an_end_only_with_all_of_them(tmp_path: Path) -> None:
    workspace = Recorded()
    runner = runner_on(workspace, tmp_path)
    runner.submit(trial(0))
    folder = runner.files_folder
    workspace.files[f"{folder}/printed/0-1/000001.txt"] = b"10.500 step 1: score=0.25\n"
    workspace.files[f"{folder}/heard/0-1.1"] = b""
    (seen,) = runner.poll([trial(0)])
    assert [(report.step, report.time, report.metrics) for report in seen.reports] == [(1, 10.5, {"score": 0.25})]
    workspace.end(1)
    workspace.files[f"{folder}/printed/0-1/000002.txt"] = b"11.000 step 2: score=0.75\n"
    workspace.files[f"{folder}/heard/0-1.2"] = b""
    (seen,) = runner.poll([trial(0)])
    assert seen.state is TrialState.COMPLETED
    assert [report.step for report in seen.reports] == [2]
    assert workspace.calls["output"] == 0
    runner.poll([])
    assert f"{folder}/heard/0-1.2" not in workspace.files


def test_what_was_read_before_an_error_comes_with_the_next_poll(tmp_path: Path) -> None:
    workspace = Recorded()
    runner = runner_on(workspace, tmp_path)
    trials = [trial(0), trial(1)]
    for each in trials:
        runner.submit(each)
    folder = runner.files_folder
    workspace.files[f"{folder}/printed/0-1/000001.txt"] = b"10.500 step 1: score=0.25\n"
    workspace.files |= {f"{folder}/heard/{number}-1.1": b"" for number in range(2)}
    with pytest.raises(KeyError):
        runner.poll(trials)
    workspace.files[f"{folder}/printed/1-1/000001.txt"] = b"11.000 step 1: score=0.75\n"
    assert [[report.metrics["score"] for report in each.reports] for each in runner.poll(trials)] == [[0.25], [0.75]]
    assert [list(each.reports) for each in runner.poll(trials)] == [[], []]


def test_where_the_volume_has_nothing_the_runs_own_output_is_read(tmp_path: Path) -> None:
    workspace = Recorded()
    runner = runner_on(workspace, tmp_path)
    runner.submit(trial(0))
    workspace.end(1)
    (seen,) = runner.poll([trial(0)])
    assert [report.metrics for report in seen.reports] == [{"score": 0.5}]


def test_a_task_of_ones_own_is_heard_by_its_output_or_by_what_its_notebook_returns(tmp_path: Path) -> None:
    workspace = Recorded()
    own = {"notebook_task": {"notebook_path": "/Users/me/train"}}
    runner = runner_on(workspace, tmp_path, trial={"image": "any"}, databricks=own)
    runner.submit(trial(0, x=0.25))
    (run,) = workspace.runs.values()
    assert task_of(run["said"])["notebook_task"]["base_parameters"] == {"x": "0.25"}
    workspace.end(1)
    workspace.said = {"notebook_output": {"result": "score=0.75"}}
    (seen,) = runner.poll([trial(0, x=0.25)])
    assert [report.metrics for report in seen.reports] == [{"score": 0.75}]
    assert workspace.calls["entries"] == 0
    assert list(runner.lines(Trial(0, {}, place=run["run_name"]), lambda: True)) == ["score=0.75"]


def test_a_run_that_somebody_deleted_ends_its_trial_and_no_other(tmp_path: Path) -> None:
    workspace = Recorded()
    runner = runner_on(workspace, tmp_path)
    for number in range(2):
        runner.submit(trial(number))
    del workspace.runs[1]
    gone, other = runner.poll([trial(0), trial(1)])
    assert (gone.state, gone.reason, gone.retry) == (TrialState.CANCELLED, "its run was deleted", False)
    assert other.state is TrialState.RUNNING


def test_a_run_of_an_attempt_that_is_over_is_ended(tmp_path: Path) -> None:
    workspace = Recorded()
    earlier = runner_on(workspace, tmp_path)
    earlier.submit(trial(0))
    workspace.calls.clear()
    later = runner_on(workspace, tmp_path)
    assert later.find(trial(0))
    assert not workspace.calls, "its id is in the run's folder"
    later.submit(trial(0, attempt=2))
    later.poll([trial(0, attempt=2)])
    assert workspace.cancelled == [1]


def test_a_run_whose_id_was_never_told_is_found_by_its_name_among_the_newest(tmp_path: Path) -> None:
    workspace = Recorded(others=100)
    runner_on(workspace, tmp_path).submit(trial(0))
    (tmp_path / "databricks-runs.txt").write_text("tune-x-0-1 7\ntune-y-0-1 8")  # half a line
    workspace.calls.clear()
    later = runner_on(workspace, tmp_path)
    begun = Trial(0, {"x": 0.5}, attempt=1, started=9000.0)
    assert later.find(begun)
    assert later.find(begun)
    assert workspace.since == [9000.0 - 600]
    assert not later.find(Trial(1, {"x": 0.5}, attempt=1, started=9100.0)), "what is later was listed"
    assert len(workspace.since) == 1


def test_the_same_attempt_is_one_run_whoever_submits_it(tmp_path: Path) -> None:
    workspace = Recorded()
    for _ in range(2):
        runner_on(workspace, tmp_path).submit(trial(0))
    assert len(workspace.runs) == 1
    (run,) = workspace.runs.values()
    assert run["said"]["idempotency_token"] == run["run_name"]
    assert len(run["run_name"]) <= 64


@pytest.mark.parametrize(("length", "on_volume"), [(10, False), (20_000, True)])
def test_values_that_are_too_long_for_a_request_go_to_the_volume(length: int, on_volume: bool, tmp_path: Path) -> None:
    workspace = Recorded()
    text = "{{x}}" * (length // 5)
    runner = runner_on(workspace, tmp_path, space={"x": {"type": "categorical", "values": [text, "b"]}})
    runner.submit(trial(0, x=text))
    word = task_of(workspace.runs[1]["said"])["spark_python_task"]["parameters"][-1]
    name, _, said = word.partition("=")
    assert name == ("--trial-file" if on_volume else "--trial")
    content = workspace.files[said.removeprefix("dbfs://")].decode() if on_volume else said
    assert json.loads(base64.b64decode(content))["values"] == {"x": text}
    assert "{{" not in word
