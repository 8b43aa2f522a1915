"""Runs on Azure Machine Learning, through its clients against the emulator: what only this provider does, and what may go wrong."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_sweeps import LOG_BY_REST
from cloud_runs import SLOW, LiveRuns, Submit, job_of, submitting
from late import LATE
from shown_elsewhere import DRIVERS_OF_THEIR_OWN, SAME_FOR_PLAIN_JOBS, WITH_MANY_CALLS
from tenacity import wait_none

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.store.records import RunState, TrialState

if LATE:
    pytest.importorskip("azure.ai.ml")
    from azure.ai.ml import load_job
    from azure.core.pipeline.policies import RetryPolicy

    from cloudtune_azureml import client
    from cloudtune_azureml.emulator import AzureMlEmulator
    from cloudtune_azureml.tuner import JOB_STATES, TRIAL_STATES


@pytest.fixture
def emulator(azureml_emulator: AzureMlEmulator, monkeypatch: pytest.MonkeyPatch) -> AzureMlEmulator:
    monkeypatch.setenv("CLOUDTUNE_AZUREML_POLL", "0.15")
    return azureml_emulator


submit = submitting("azure")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WAIT", wait_none())
    monkeypatch.setattr(RetryPolicy, "get_backoff_time", lambda *_: 0.001)  # the SDK's own patience


def kinds(emulator: AzureMlEmulator) -> list[str]:
    """What there is: ``sweep``, ``trial`` of a sweep, or ``command`` for a job of its own."""
    return ["trial" if run.parent else run.kind for run in emulator.jobs.runs.all()]


@pytest.mark.complete_are(*SAME_FOR_PLAIN_JOBS, *DRIVERS_OF_THEIR_OWN, *WITH_MANY_CALLS)
class TestRuns(LiveRuns):
    on = "azure"
    machines = ("Standard_D4s_v5", "Standard_D4s_v3")
    variables = "CLOUDTUNE_AZUREML_"
    look = "GetJob"
    keeps_the_seed = False

    def tuning_jobs(self, emulator: AzureMlEmulator) -> int:
        return kinds(emulator).count("sweep")

    def roots(self, request: dict[str, Any]) -> list[str]:
        return list(request["search_space"])

    def delete(self, emulator: AzureMlEmulator, job: str) -> None:
        emulator.ml_client().jobs.begin_delete(job).result()

    def trial_jobs(self, emulator: AzureMlEmulator) -> int:
        return kinds(emulator).count("command")


def test_every_state_of_the_service_is_mapped() -> None:
    from azure.ai.ml.operations._run_history_constants import JobStatus
    from mlflow.entities import RunStatus

    named = {value for name, value in vars(JobStatus).items() if name.isupper()}
    assert named - set(JOB_STATES) == set()
    assert set(TRIAL_STATES) == {RunStatus.to_string(state) for state in RunStatus.all_status()}


def test_a_look_costs_two_calls_and_one_for_each_trial_that_logged(
    emulator: AzureMlEmulator, submit: Submit, tmp_path: Path
) -> None:
    earlier = emulator.calls["metrics/get-history"]
    run = submit(job_of(tmp_path, SLOW, limits={"trials": 4, "parallel": 1}))
    watch = run._provider.managed(run._store)
    watch.look()
    costs = []
    while True:
        before = dict(emulator.calls)
        state = watch.look()
        asked = {name: count - before.get(name, 0) for name, count in emulator.calls.items()}
        if state.ended:
            break
        costs.append(asked.get("GetJob", 0) + asked.get("runs/search", 0))
        threading.Event().wait(0.05)
    assert len(costs) > 5
    assert set(costs) == {2}
    assert emulator.calls["metrics/get-history"] - earlier == 4


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mode", ["managed", pytest.param("driven", marks=pytest.mark.complete)])
def test_a_job_whose_making_was_not_answered_is_found(
    mode: str, emulator: AzureMlEmulator, submit: Submit, tmp_path: Path
) -> None:
    emulator.faults.lost, emulator.faults.operations = 1.0, ["PutJob"]
    run = submit(job_of(tmp_path, mode=mode, limits={"trials": 2}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert emulator.faults.counts["lost"] >= (1 if mode == "managed" else 2)
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 2
    assert sorted(kinds(emulator)) == (["sweep", "trial", "trial"] if mode == "managed" else ["command"] * 2)


def test_trials_report_through_throttling_outages_and_old_tokens(
    emulator: AzureMlEmulator, submit: Submit, tmp_path: Path
) -> None:
    faults = emulator.faults
    faults.services, faults.operations = ["trial"], ["runs/log-batch"]
    faults.throttle, faults.errors, faults.lost, faults.expired = 0.1, 0.1, 0.1, 0.2
    script = "import cloudtune.trial as t\nfor i in range(10):\n    t.report(score=float(i), step=i)\n"
    run = submit(job_of(tmp_path, script, limits={"trials": 2}))
    assert run.wait() is RunState.COMPLETED
    assert [trial.reason for trial in run.trials()] == ["", ""], [list(run.logs(number)) for number in (0, 1)]
    assert min(faults.counts[name] for name in ("throttle", "error", "lost", "expired")) > 0
    for trial in run.trials():
        steps = [report.step for report in run.reports(trial.number)]
        assert list(dict.fromkeys(steps)) == list(range(10))  # a lost answer may have been logged twice
    assert emulator.calls["RenewToken"] == faults.counts["expired"]


def test_a_job_of_another_client_is_taken_in(emulator: AzureMlEmulator, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(f"import sys\n{LOG_BY_REST}\nlog('loss', int(sys.argv[1]))\n")
    sweep = {
        "type": "sweep",
        "display_name": "theirs: größer",
        "trial": {
            "code": "src",
            "command": f"{sys.executable} train.py ${{{{search_space.size}}}}",
            "environment": "azureml:own@latest",
        },
        "compute": "azureml:cpu-cluster",
        "sampling_algorithm": "grid",
        "search_space": {"size": {"type": "choice", "values": [32, 64]}},
        "objective": {"goal": "minimize", "primary_metric": "loss"},
        "limits": {"max_total_trials": 2},
    }
    (tmp_path / "sweep.yml").write_text(yaml.safe_dump(sweep, allow_unicode=True))
    made = emulator.ml_client().jobs.create_or_update(load_job(tmp_path / "sweep.yml"))
    assert run_app(["attach", made.name, "--on", "azure"]) in (0, None)
    run = api.attach(made.name, "azure", project=tmp_path)
    assert run.wait() is RunState.COMPLETED
    assert [(trial.parameters, trial.metrics) for trial in run.trials()] == [
        ({"size": 32}, {"loss": 32}),
        ({"size": 64}, {"loss": 64}),
    ]
    assert run.best.number == 0


@pytest.mark.parametrize("mode", ["managed", pytest.param("driven", marks=pytest.mark.complete)])
def test_a_job_may_have_capitals_in_its_name(mode: str, submit: Submit, tmp_path: Path) -> None:
    job = job_of(tmp_path, mode=mode, limits={"trials": 2}).model_copy(update={"name": "My_Job"})
    run = submit(job)
    assert run.wait() is RunState.COMPLETED, run.events()
    assert len(run.trials()) == 2


def test_only_the_first_of_many_processes_reports(emulator: AzureMlEmulator, submit: Submit, tmp_path: Path) -> None:
    script = "import os, cloudtune.trial as t\nrank = int(os.environ['RANK'])\nprint('rank', rank, 'of', os.environ['WORLD_SIZE'])\nt.report(score=float(rank + 1))\n"
    own = {"trial": {"distribution": {"type": "pytorch", "process_count_per_instance": 2}}}
    run = submit(job_of(tmp_path, script, compute={"count": 2}, azureml=own, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [report.metrics for report in run.reports(0)] == [{"score": 1.0}]
    assert next(iter(run.logs(0))) == "rank 0 of 4"
    logs = emulator.blobs.file("azureml", f"ExperimentRun/dcid.{run.trials()[0].place}/user_logs")
    assert sorted(file.read_text().splitlines()[0] for file in logs.glob("*")) == [f"rank {n} of 4" for n in range(4)]


@pytest.mark.parametrize("mode", [pytest.param("managed", marks=pytest.mark.complete), "driven"])
def test_capacity_that_is_not_there_fails_the_trials_and_says_so(
    mode: str, emulator: AzureMlEmulator, submit: Submit, tmp_path: Path
) -> None:
    emulator.faults.capacity = 1.0
    run = submit(job_of(tmp_path, mode=mode, limits={"trials": 2}))
    run.wait()
    assert all(trial.state is TrialState.FAILED for trial in run.trials())
    assert all("capacity" in trial.reason.lower() for trial in run.trials())


def test_data_of_this_machine_and_of_datastores_are_folders(
    emulator: AzureMlEmulator, submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "a.txt").write_text("one")
    emulator.blobs.put("azureml-blobstore", "far/b.txt", b"two")
    script = "import pathlib, cloudtune.trial as t\nassert pathlib.Path(t.data('near'), 'a.txt').read_text() == 'one'\nassert pathlib.Path(t.data('single')).read_text() == 'one'\nassert pathlib.Path(t.data('far'), 'b.txt').read_text() == 'two'\nt.report(score=1)\n"
    data = {
        "near": "table",
        "single": "table/a.txt",
        "far": {"azureml": "azureml://datastores/workspaceblobstore/paths/far"},
    }
    run = submit(job_of(tmp_path, script, data=data, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, [trial.reason for trial in run.trials()]
    assert run.best is not None


def test_check_tells_what_is_there_and_what_is_missing(
    emulator: AzureMlEmulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_app(["check", "--on", "azure"]) == 0, capsys.readouterr().out
    told = capsys.readouterr().out
    assert emulator.arm_id in told
    assert "0 of 100 used" in told
    monkeypatch.setenv("CLOUDTUNE_AZUREML_WORKSPACE", "not-there")
    assert run_app(["check", "--on", "azure", "--json"]) == 1
    found = {each["subject"]: each["ok"] for each in json.loads(capsys.readouterr().out)["azure"]}
    assert found["workspace"] is False
    monkeypatch.delenv("CLOUDTUNE_AZUREML_WORKSPACE")
    assert run_app(["check", "--on", "azure"]) == 1
    assert 'workspace = "…"' in capsys.readouterr().out


def test_a_job_without_an_environment_says_what_to_give(tmp_path: Path) -> None:
    plan = api.plan(job_of(tmp_path), "azure", project=tmp_path)
    said = {note.path: note.message for note in plan.notes}
    assert "environment" in said["trial.image"]
