"""Runs on Databricks' emulator, by its own SDK: what reaches a trial, what comes back from it, and what goes wrong on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloud_runs import job_of
from late import LATE

from cloudtune import TuningJob, api
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("databricks.sdk")

    from cloudtune_databricks.emulator import DatabricksEmulator, Faults
    from cloudtune_databricks.names import run_name

Submit = Callable[..., Run]

SCRIPT = """
import os, pathlib
import cloudtune.trial as t
x = t.params()["x"]
assert pathlib.Path(os.environ["CLOUDTUNE_DATA_TABLE"], "rows.txt").read_text() == "1 2 3"
assert float(os.environ["SECRET"]) == 0.5
pathlib.Path(t.output_dir(), "deep").mkdir()
pathlib.Path(t.output_dir(), "deep", "model.txt").write_text(str(x))
for step in range(1, 4):
    t.report(score=x * step, step=step)
"""
CRASHING = (
    "import cloudtune.trial as t\nif t.number() == 0:\n    raise SystemExit(3)\nt.report(score=t.params()['x'])\n"
)
OWN = {"instance": "m5.xlarge", "spark_version": "16.4.x-scala2.12"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[DatabricksEmulator]:
    with DatabricksEmulator(grace=0.3) as running:
        yield running


@pytest.fixture
def faults(emulator: DatabricksEmulator) -> Iterator[Faults]:
    known = {
        name: getattr(emulator.faults, name)
        for name in ("throttle", "errors", "lost", "expired", "capacity", "spot", "full", "operations")
    }
    emulator.faults.counts.clear()
    yield emulator.faults
    for name, value in known.items():
        setattr(emulator.faults, name, value)


@pytest.fixture
def submit(emulator: DatabricksEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Submit:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLOUDTUNE_DATABRICKS_POLL", "0.1")

    def submit_one(job: TuningJob, **settings: str) -> Run:
        for name, value in settings.items():
            monkeypatch.setenv(f"CLOUDTUNE_DATABRICKS_{name.upper()}", value)
        return api.prepare(job, "databricks", project=tmp_path, base=tmp_path)

    return submit_one


def test_what_a_trial_needs_reaches_it_and_what_it_leaves_comes_back(
    emulator: DatabricksEmulator, submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "rows.txt").write_text("1 2 3")
    job = job_of(
        tmp_path, SCRIPT, trial={"environment": {"SECRET": "0.5"}}, data={"table": "table"}, limits={"trials": 2}
    )
    run = submit(job)
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 2, [
        trial.reason for trial in run.trials()
    ]
    assert [report.step for report in run.reports(0)] == [1, 2, 3]
    (file,) = run.fetch(0, tmp_path / "left")
    assert file == tmp_path / "left" / "deep" / "model.txt"
    assert float(file.read_text()) == run.trials()[0].parameters["x"]
    assert any("score=" in line for line in run.logs(0))
    kept = [path for path in emulator.volumes.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if path.name == "environment.json" or path.parent.name == "heard"]
    said = [str(each.program.said) for each in emulator.runs.all.values()]
    assert said
    assert not any("SECRET" in each for each in said)


@pytest.mark.complete
def test_a_failure_of_the_program_is_told_by_its_reason_and_counts_as_a_retry(submit: Submit, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path, CRASHING, retries=1, limits={"trials": 2}))
    run.wait()
    crashed, well = run.trials()
    assert (crashed.state, crashed.attempt, crashed.reason) == (
        TrialState.FAILED,
        2,
        "the command ended with exit code 3",
    )
    assert well.state is TrialState.COMPLETED


@pytest.mark.complete
def test_throttling_errors_and_lost_answers_make_no_run_twice(
    emulator: DatabricksEmulator, faults: Faults, submit: Submit, tmp_path: Path
) -> None:
    before = len(emulator.runs.all)
    faults.throttle, faults.errors, faults.lost = 0.1, 0.1, 0.2
    run = submit(job_of(tmp_path, limits={"trials": 8, "parallel": 4}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}, [trial.reason for trial in run.trials()]
    assert len(emulator.runs.all) - before == 8
    assert {"throttle", "error", "lost"} <= set(faults.counts), faults.counts


@pytest.mark.complete
def test_a_workspace_that_takes_no_more_runs_has_trials_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DatabricksEmulator(parallel=1, grace=0.3) as small:
        for name, value in {**small.environment, "CLOUDTUNE_DATABRICKS_POLL": "0.1"}.items():
            monkeypatch.setenv(name, value)
        job = job_of(tmp_path, databricks={"queue": {"enabled": False}}, limits={"trials": 3, "parallel": 2})
        run = api.prepare(job, "databricks", project=tmp_path, base=tmp_path)
        assert run.wait() is RunState.COMPLETED, run.events()
        assert {(trial.state, trial.attempt) for trial in run.trials()} == {(TrialState.COMPLETED, 1)}, run.events()


@pytest.mark.complete
def test_spot_nodes_that_are_taken_away_cost_no_retry(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    struck = iter([True] * 7)  # more often than a trial may be lost otherwise
    monkeypatch.setattr(Faults, "interrupts", lambda *_: next(struck, False))
    script = (
        "import time, cloudtune.trial as t\nt.report(score=1, step=0)\ntime.sleep(0.5)\nt.report(score=2, step=1)\n"
    )
    job = job_of(tmp_path, script, compute={"spot": True}, limits={"trials": 1, "parallel": 1})
    run = submit(job, **OWN)
    assert run.wait() is RunState.COMPLETED, run.events()
    assert run.trials()[0].attempt == 8
    assert any("SPOT_INSTANCE_TERMINATION" in str(event) for event in run.events())


@pytest.mark.complete
def test_a_node_type_without_room_gives_way_to_the_next(faults: Faults, submit: Submit, tmp_path: Path) -> None:
    faults.full = ("m5.xlarge",)
    job = job_of(tmp_path, compute={"instance": ["m5.xlarge", "m5.2xlarge"]}, limits={"trials": 2, "parallel": 1})
    run = submit(job, spark_version="16.4.x-scala2.12")
    assert run.wait() is RunState.COMPLETED, run.events()
    assert len([event for event in run.events() if "m5.2xlarge is tried next" in str(event)]) == 1, run.events()


@pytest.mark.complete
def test_an_expired_token_ends_the_run_with_what_to_do_and_it_can_be_resumed(
    faults: Faults, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, limits={"trials": 3, "parallel": 1}))
    faults.expired, faults.operations = 1.0, ("ListRuns",)
    with pytest.raises(Exception, match="log in again"):
        run.wait()
    faults.expired = 0.0
    assert api.attach(run.id, project=tmp_path).resume().wait() is RunState.COMPLETED
    assert {trial.attempt for trial in run.trials()} == {1}


@pytest.mark.complete
def test_cancel_leaves_nothing_running(emulator: DatabricksEmulator, submit: Submit, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path, "import time\ntime.sleep(60)\n"))
    run.start()
    own = [run_name(run.job.name, run.id)]

    def states() -> list[str]:
        runs = [each.told() for each in emulator.runs.all.values() if each.program.name.startswith(*own)]
        return [each["state"]["life_cycle_state"] for each in runs]

    wait_until(lambda: states() == ["RUNNING", "RUNNING"])
    run.cancel()
    assert run.wait() is RunState.CANCELLED
    assert states() == ["TERMINATED", "TERMINATED"]


@pytest.mark.complete
def test_a_trial_that_runs_too_long_is_ended(submit: Submit, tmp_path: Path) -> None:
    script = "import time, cloudtune.trial as t\nt.report(score=1)\ntime.sleep(60 if t.number() == 0 else 0)\n"
    run = submit(job_of(tmp_path, script, limits={"trials": 2, "trial_time": "6s"}))
    run.wait()
    late, well = run.trials()
    assert (late.state, "it ran longer than 6s" in late.reason) == (TrialState.FAILED, True), late.reason
    assert well.state is TrialState.COMPLETED


@pytest.mark.complete
def test_a_paused_trial_goes_on_from_its_checkpoint(submit: Submit, tmp_path: Path) -> None:
    script = """
import pathlib
import cloudtune.trial as t
kept = pathlib.Path(t.checkpoint_dir(), "step")
begin = int(kept.read_text()) if kept.exists() else 0
print("begins at", begin)
for step in range(begin + 1, 10):
    kept.write_text(str(step))
    t.report(score=t.params()["x"] * step, step=step)
"""
    rule = {"type": "asha", "min_resource": 3, "max_resource": 9, "eta": 3, "resume": "checkpoint"}
    run = submit(job_of(tmp_path, script, stopping=rule, limits={"trials": 9, "parallel": 3}))
    assert run.wait() is RunState.COMPLETED, run.events()
    resumed = [trial for trial in run.trials() if trial.attempt > 1]
    assert all(
        any(line.startswith("begins at ") and line != "begins at 0" for line in run.logs(trial.number))
        for trial in resumed
    )


@pytest.mark.complete
def test_a_trial_whose_output_the_volume_does_not_take_fails_with_the_reason(
    emulator: DatabricksEmulator, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, limits={"trials": 1}))
    place = emulator.volumes.folder / "main" / "default" / "tuning" / run_name(run.job.name, run.id)
    place.mkdir()
    (place / "printed").touch()  # a file where a folder should be
    run.wait()
    assert "NotADirectoryError" in run.trials()[0].reason or "FileExistsError" in run.trials()[0].reason
    assert any("the volume took nothing" in line for line in run.logs(0))


@pytest.mark.complete
@pytest.mark.parametrize(("times", "state"), [(5, TrialState.COMPLETED), (6, TrialState.FAILED)])
def test_a_cluster_that_cannot_start_costs_no_retry_five_times(
    times: int, state: TrialState, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    struck = iter(["capacity"] * times)
    monkeypatch.setattr(Faults, "at_start", lambda *_: next(struck, ""))
    run = submit(job_of(tmp_path, limits={"trials": 1, "parallel": 1}), **OWN)
    run.wait()
    (trial,) = run.trials()
    assert (trial.state, trial.attempt) == (state, 6), trial.reason


@pytest.mark.complete
def test_a_wheel_of_ones_own_gets_its_parameters_and_is_heard_by_its_output(
    emulator: DatabricksEmulator, submit: Submit, tmp_path: Path
) -> None:
    package = tmp_path / "site"
    package.mkdir()
    (package / "mywheel.py").write_text(
        "import sys\n\n\ndef main():\n    x = float(sys.argv[1].removeprefix('--x='))\n    print(f'score={x * 2}')\n"
    )
    data = job_of(tmp_path).to_data()
    data["trial"] = {"image": "any"}
    data["limits"] = {"trials": 2}
    data["databricks"] = {
        "python_wheel_task": {"package_name": "mywheel", "entry_point": "main"},
        "new_cluster": {"spark_env_vars": {"PYTHONPATH": str(package)}},
    }
    run = submit(TuningJob.from_data(data), **OWN)
    assert run.wait() is RunState.COMPLETED, run.events()
    for trial in run.trials():
        assert trial.metrics["score"] == pytest.approx(trial.parameters["x"] * 2), trial.reason
        assert any("score=" in line for line in run.logs(trial.number))


@pytest.mark.complete
def test_of_much_output_databricks_gets_the_beginning_and_the_volume_all(
    emulator: DatabricksEmulator, submit: Submit, tmp_path: Path
) -> None:
    script = (
        "import cloudtune.trial as t\nfor _ in range(90):\n    print('x' * 60_000)\nprint('last')\nt.report(score=1)\n"
    )
    run = submit(job_of(tmp_path, script, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, [trial.reason for trial in run.trials()]
    lines = list(run.logs(0))
    assert (lines.count("last"), sum(line.startswith("xxx") for line in lines)) == (1, 90)
    (own,) = [each for each in emulator.runs.all.values() if each.program.name == run.trials()[0].place]
    assert 3_900_000 < len(own.output()["logs"]) < 4_100_000


@pytest.mark.complete
def test_values_of_any_length_and_any_characters_reach_the_trial(submit: Submit, tmp_path: Path) -> None:
    script = "import cloudtune.trial as t\nt.report(score=len(t.params()['x']) if t.params()['x'].endswith('{{y}}') else 0)\n"
    space = {"x": {"type": "categorical", "values": ["é" * length + "{{y}}" for length in (1, 20_000)]}}
    run = submit(job_of(tmp_path, script, space=space, strategy={"type": "grid"}, limits={"trials": 2}))
    run.wait()
    assert sorted(trial.metrics["score"] for trial in run.trials()) == [6, 20_005], [
        trial.reason for trial in run.trials()
    ]


@pytest.mark.complete
def test_what_a_trial_logs_to_mlflow_has_the_tags_of_the_trial(submit: Submit, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    script = """
import json, os
from mlflow.tracking.context.registry import resolve_tags
import cloudtune.trial as t
assert os.environ["MLFLOW_TRACKING_URI"] == "databricks"
assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "/Users/me/tuning"
assert os.environ["DATABRICKS_TOKEN"]
print("TAGS", json.dumps({name: text for name, text in resolve_tags().items() if name.startswith("cloudtune")}))
t.report(score=1)
"""
    run = submit(job_of(tmp_path, script, limits={"trials": 1}), experiment="/Users/me/tuning")
    assert run.wait() is RunState.COMPLETED, [trial.reason for trial in run.trials()]
    line = next(line for line in run.logs(0) if line.startswith("TAGS "))
    tags = json.loads(line.removeprefix("TAGS "))
    assert tags == {"cloudtune.run": run_name(run.job.name, run.id), "cloudtune.trial": "0", "cloudtune.attempt": "1"}
