"""Runs on Vertex AI, through Google's clients against the emulator: what only this provider does, and what may go wrong."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import SLOW, LiveRuns, Submit, job_of, submitting
from late import LATE
from shown_elsewhere import DRIVERS_OF_THEIR_OWN

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.errors import TrialError
from cloudtune.store.records import RunState, TrialState
from cloudtune_vertex.settings import VertexSettings

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from google.cloud import aiplatform_v1 as v1
    from google.cloud import storage

    from cloudtune_vertex import client as client_module
    from cloudtune_vertex import storage as vertex_storage
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.emulator import VertexEmulator
    from cloudtune_vertex.tuner import JOB_STATES, TRIAL_STATES


@pytest.fixture
def emulator(vertex_emulator: VertexEmulator, monkeypatch: pytest.MonkeyPatch) -> VertexEmulator:
    monkeypatch.setenv("CLOUDTUNE_VERTEX_POLL", "0.15")
    vertex_emulator.faults.services = ("aiplatform", "storage")
    return vertex_emulator


submit = submitting("gcp")


def google(emulator: VertexEmulator) -> Google:
    return Google(VertexSettings(project=emulator.project, endpoint=f"http://{emulator.target}"))


def tuning_jobs(emulator: VertexEmulator) -> list[Any]:
    found = google(emulator)
    return list(found.jobs.list_hyperparameter_tuning_jobs(request={"parent": found.parent}))


def custom_jobs(emulator: VertexEmulator) -> list[Any]:
    found = google(emulator)
    return list(found.jobs.list_custom_jobs(request={"parent": found.parent}))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = client_module.PATIENT.with_delay(initial=0.001, maximum=0.01).with_timeout(1.0)
    monkeypatch.setattr(client_module, "PATIENT", soon)
    monkeypatch.setattr(vertex_storage, "RETRY", vertex_storage.RETRY.with_delay(initial=0.001, maximum=0.01))


@pytest.mark.complete_are(*DRIVERS_OF_THEIR_OWN, "test_an_earlier_run_warms_a_driven_one")
class TestOverGrpc(LiveRuns):
    on = "gcp"
    machines = ("n2-standard-4", "e2-standard-4")
    variables = "CLOUDTUNE_VERTEX_"
    look = "GetHyperparameterTuningJob"
    keeps_the_seed = False

    def tuning_jobs(self, emulator: VertexEmulator) -> int:
        return len(tuning_jobs(emulator))

    def roots(self, request: dict[str, Any]) -> list[str]:
        return [parameter["parameterId"] for parameter in request["studySpec"]["parameters"]]

    def delete(self, emulator: VertexEmulator, job: str) -> None:
        google(emulator).jobs.delete_hyperparameter_tuning_job(name=job).result()

    def trial_jobs(self, emulator: VertexEmulator) -> int:
        return len(custom_jobs(emulator))

    @pytest.mark.complete
    def test_conditions_are_also_those_of_the_tuner_that_learns(self, submit: Submit, tmp_path: Path) -> None:
        self.see_conditions_kept(submit, tmp_path, "bayesian")


@pytest.mark.parametrize("mode", ["managed", pytest.param("driven", marks=pytest.mark.complete)])
@pytest.mark.usefixtures("impatient")
def test_a_run_gets_through_over_rest_too(
    mode: str, emulator: VertexEmulator, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_VERTEX_TRANSPORT", "rest")
    monkeypatch.setenv("CLOUDTUNE_VERTEX_ENDPOINT", emulator.url)
    emulator.faults.throttle, emulator.faults.lost = 0.1, 0.1
    run = submit(job_of(tmp_path, mode=mode))
    assert run.wait() is RunState.COMPLETED, run.events()
    emulator.faults.throttle = emulator.faults.lost = 0.0
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4
    assert len(tuning_jobs(emulator)) + len(custom_jobs(emulator)) == (1 if mode == "managed" else 4)


def test_a_job_is_taken_in_by_its_id_or_the_name_of_the_newest(submit: Submit, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path))
    run.wait()
    full = run.record.native["job"]
    for name in (full.rpartition("/")[2], "runs"):
        (tmp_path / name).mkdir()
        assert api.attach(name, "gcp", project=tmp_path / name).record.native["job"] == full


def test_every_state_of_the_service_is_mapped() -> None:
    assert set(JOB_STATES) == {"", *(state.name for state in v1.JobState)}
    assert set(TRIAL_STATES) == {"", *(state.name for state in v1.Trial.State)}


def test_a_look_costs_one_call_at_any_number_of_trials(
    emulator: VertexEmulator, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, SLOW, limits={"trials": 6, "parallel": 2}))
    watch = run._provider.managed(run._store)
    costs = []
    while True:
        before = emulator.calls.total()
        state = watch.look()
        if state.ended:
            break
        costs.append(emulator.calls.total() - before)
        threading.Event().wait(0.05)
    assert len(costs) > 5
    assert set(costs) == {1}
    assert len(run.trials()) == 6


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("operation", ["CreateHyperparameterTuningJob", "CreateCustomJob"])
def test_a_job_whose_making_was_not_answered_is_found(
    operation: str, emulator: VertexEmulator, submit: Submit, tmp_path: Path
) -> None:
    managed = operation == "CreateHyperparameterTuningJob"
    emulator.faults.lost, emulator.faults.operations = 1.0, [operation]
    run = submit(job_of(tmp_path, mode="managed" if managed else "driven", limits={"trials": 2}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert emulator.faults.counts["lost"] == (1 if managed else 2)
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 2
    assert len(tuning_jobs(emulator) if managed else custom_jobs(emulator)) == (1 if managed else 2)


@pytest.mark.vertex_emulator(images={"*": ["python3", "-c", "import sys; print(sys.argv); sys.exit(3)"]})
def test_a_job_of_another_client_is_taken_in(
    emulator: VertexEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "their/own:1"}}  # fmt: skip
    request = {
        "displayName": "theirs: größer",
        "studySpec": {
            "metrics": [{"metricId": "loss", "goal": "MINIMIZE"}],
            "parameters": [{"parameterId": "size", "discreteValueSpec": {"values": [32, 64]}}],
            "algorithm": "RANDOM_SEARCH",
        },
        "maxTrialCount": 2,
        "parallelTrialCount": 2,
        "trialJobSpec": {"workerPoolSpecs": [pool]},
    }
    jobs = google(emulator)
    made = jobs.jobs.create_hyperparameter_tuning_job(
        parent=jobs.parent,
        hyperparameter_tuning_job=v1.HyperparameterTuningJob.from_json(json.dumps(request)),
    )
    assert run_app(["attach", made.name, "--on", "gcp"]) in (0, None)
    run = api.attach(made.name, "gcp", project=tmp_path)
    run.wait()
    assert len(run.trials()) == 2
    assert {trial.state for trial in run.trials()} == {TrialState.FAILED}
    assert "status of 3" in run.trials()[0].reason
    assert {trial.parameters["size"] for trial in run.trials()} <= {32, 64}


def test_an_object_whose_name_leads_out_of_its_folder_is_not_downloaded(
    emulator: VertexEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evil(client: storage.Client, bucket: str, **_: Any) -> list[storage.Blob]:
        return [client.bucket(bucket).blob("out/1/../../escaped.txt")]

    monkeypatch.setattr(storage.Client, "list_blobs", evil)
    with pytest.raises(TrialError, match="leads out of the folder"):
        vertex_storage.download(google(emulator), f"gs://{emulator.bucket}/out/1", tmp_path / "deep" / "model")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_several_objectives_have_a_front(submit: Submit, tmp_path: Path) -> None:
    script = "import cloudtune.trial as t\nx = t.params()['x']\nt.report(gain=x, size=x * x)\n"
    objectives = [{"metric": "gain", "goal": "maximize"}, {"metric": "size", "goal": "minimize"}]
    run = submit(job_of(tmp_path, script, objective=objectives))
    assert run.plan.mode == "managed"
    assert run.wait() is RunState.COMPLETED, run.events()
    assert len(run.front) == 4


def test_measurements_may_count_by_their_best(submit: Submit, tmp_path: Path) -> None:
    script = "import cloudtune.trial as t\nfor value in (1, 9, 2):\n    t.report(score=value)\n"
    objective = {"metric": "score", "goal": "maximize", "measurement": "best"}
    run = submit(job_of(tmp_path, script, objective=objective, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert run.best.metrics == {"score": 9.0}


def test_capacity_that_is_not_there_fails_the_trials_and_says_so(
    emulator: VertexEmulator, submit: Submit, tmp_path: Path
) -> None:
    emulator.faults.capacity = 1.0
    run = submit(job_of(tmp_path, limits={"trials": 2}))
    run.wait()
    assert all(trial.state is TrialState.FAILED for trial in run.trials())
    assert all("resources" in trial.reason.lower() for trial in run.trials())


def test_check_tells_what_is_there_and_what_is_missing(
    emulator: VertexEmulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_app(["check", "--on", "gcp"]) == 0, capsys.readouterr().out
    assert emulator.bucket in capsys.readouterr().out
    monkeypatch.setenv("CLOUDTUNE_VERTEX_BUCKET", "not-there")
    assert run_app(["check", "--on", "gcp", "--json"]) == 1
    found = {each["subject"]: each["ok"] for each in json.loads(capsys.readouterr().out)["gcp"]}
    assert found["tuning jobs"]
    assert found["logs"]
    assert found["bucket"] is False


def test_a_job_without_an_image_says_what_to_give(tmp_path: Path) -> None:
    plan = api.plan(job_of(tmp_path), "gcp", project=tmp_path)
    said = {note.path: note.message for note in plan.notes}
    assert "trial.image" in said["trial.image"]
