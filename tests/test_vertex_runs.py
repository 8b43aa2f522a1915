"""Runs on Vertex AI, through Google's clients against the emulator: what only this provider does, and what may go wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, CredentialError, RunNotFound, TrialError
from cloudtune.run import Run
from cloudtune.states import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytest.importorskip("google.cloud.aiplatform_v1")

from google.cloud import aiplatform_v1 as v1
from google.cloud import storage

from cloudtune_vertex import client as client_module
from cloudtune_vertex import storing
from cloudtune_vertex.client import Google
from cloudtune_vertex.emulator import VertexEmulator
from cloudtune_vertex.managed import JOB_STATES, TRIAL_STATES
from cloudtune_vertex.settings import VertexSettings

SCRIPT = """
import pathlib
import cloudtune.trial as t
x = t.params()["x"]
pathlib.Path(t.output_dir(), "model.txt").write_text(str(x))
for step in range(1, 4):
    t.report(score=x * step, step=step)
"""
SLOW = "import time, cloudtune.trial as t\ntime.sleep(0.4)\nt.report(score=t.params()['x'])\n"


@pytest.fixture
def emulator(vertex_emulator: VertexEmulator, monkeypatch: pytest.MonkeyPatch) -> VertexEmulator:
    monkeypatch.setenv("CLOUDTUNE_VERTEX_POLL", "0.05")
    return vertex_emulator


def job_of(folder: Path, script: str = SCRIPT, **fields: Any) -> TuningJob:
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "train.py").write_text(script)
    return TuningJob.from_data(
        {
            "name": "runs",
            "trial": {"source": "src", "command": "python train.py", **fields.pop("trial", {})},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 3},
            "limits": {"trials": 4, "parallel": 2, **fields.pop("limits", {})},
            **fields,
        }
    )


@pytest.fixture
def submit(emulator: VertexEmulator, tmp_path: Path) -> Callable[[TuningJob], Run]:
    return lambda job: api.submit(job, "gcp", project=tmp_path, base=tmp_path)


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
    """Retries at once, as often as ever."""
    monkeypatch.setattr(client_module, "PATIENT", client_module.PATIENT.with_delay(initial=0.001, maximum=0.01))
    monkeypatch.setattr(storing, "RETRY", storing.RETRY.with_delay(initial=0.001, maximum=0.01))
    monkeypatch.setattr("cloudtune_vertex.launching.PATIENT", client_module.PATIENT)


def test_every_state_of_the_service_is_mapped() -> None:
    assert set(JOB_STATES) == {"", *(state.name for state in v1.JobState)}
    assert set(TRIAL_STATES) == {"", *(state.name for state in v1.Trial.State)}


def test_driven_trials_are_those_of_this_machine(submit: Any, tmp_path: Path) -> None:
    space = {
        "lr": {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"},
        "x": {"type": "float", "low": 0, "high": 1},
        "kind": {"type": "categorical", "values": ["a", "b"]},
    }
    job = job_of(tmp_path, mode="driven", space=space)
    run = submit(job)
    assert run.wait() is RunState.COMPLETED, run.events()
    here = api.submit(job.model_copy(update={"mode": "auto"}), "local", project=tmp_path, base=tmp_path)
    here.wait()
    assert [trial.parameters for trial in run.trials()] == [trial.parameters for trial in here.trials()]
    assert run.best.number == here.best.number
    assert run.best.metrics == here.best.metrics


def test_a_look_costs_one_call_at_any_number_of_trials(emulator: VertexEmulator, submit: Any, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path, SLOW, limits={"trials": 12, "parallel": 4}))
    watch = run._provider._watch_of(run._store)
    costs = []
    while True:
        before = emulator.calls.total()
        state = watch.look()
        if state.ended:
            break
        costs.append(emulator.calls.total() - before)
    assert len(costs) > 5
    assert set(costs) == {1}
    assert len(run.trials()) == 12


def test_what_is_measured_while_trials_run_is_seen_while_they_run(submit: Any, tmp_path: Path) -> None:
    script = (
        "import pathlib, time, cloudtune.trial as t\n"
        "t.report(score=0.5, step=1)\n"
        f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists():\n"
        "    time.sleep(0.02)\n"
        "t.report(score=0.25, step=2)\n"
    )
    run = submit(job_of(tmp_path, script, limits={"trials": 1}))
    watch = run._provider._watch_of(run._store)

    def reported() -> bool:
        watch.look()
        return [report.metrics["score"] for report in run.reports(0)] == [0.5]

    wait_until(reported)
    assert run.trials()[0].state is TrialState.RUNNING
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED
    assert [(report.step, report.metrics["score"]) for report in run.reports(0)] == [(1, 0.5), (2, 0.25)]
    assert run.best.metrics == {"score": 0.25}


@pytest.mark.parametrize("transport", ["grpc", "rest"])
@pytest.mark.parametrize("mode", ["managed", "driven"])
@pytest.mark.usefixtures("impatient")
def test_throttling_and_lost_answers_make_no_job_twice(
    mode: str, transport: str, emulator: VertexEmulator, submit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if transport == "rest":
        monkeypatch.setenv("CLOUDTUNE_VERTEX_TRANSPORT", "rest")
        monkeypatch.setenv("CLOUDTUNE_VERTEX_ENDPOINT", emulator.url)
    faults = emulator.faults
    faults.services = ("aiplatform", "storage")
    faults.throttle, faults.lost, faults.errors = 0.3, 0.1, 0.05
    run = submit(job_of(tmp_path, mode=mode, limits={"trials": 6, "parallel": 3}))
    if mode == "driven":
        faults.services = ("aiplatform",)
        faults.throttle = 0.1  # its driver is a process of its own, with the real patience
    assert run.wait() is RunState.COMPLETED, run.events()
    faults.throttle = faults.lost = faults.errors = 0.0
    assert faults.counts["throttle"] > 0
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 6
    assert all(trial.metrics["score"] == pytest.approx(3 * trial.parameters["x"]) for trial in trials)
    assert len(custom_jobs(emulator)) == (0 if mode == "managed" else 6)
    assert len(tuning_jobs(emulator)) == (1 if mode == "managed" else 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("operation", ["CreateHyperparameterTuningJob", "CreateCustomJob"])
def test_a_job_whose_making_was_not_answered_is_found(
    operation: str, emulator: VertexEmulator, submit: Any, tmp_path: Path
) -> None:
    managed = operation == "CreateHyperparameterTuningJob"
    emulator.faults.lost, emulator.faults.operations = 1.0, [operation]
    run = submit(job_of(tmp_path, mode="managed" if managed else "driven", limits={"trials": 2}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert emulator.faults.counts["lost"] == (1 if managed else 2)
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 2
    assert len(tuning_jobs(emulator) if managed else custom_jobs(emulator)) == (1 if managed else 2)


def test_expired_credentials_stop_nothing_but_the_watching(
    emulator: VertexEmulator, submit: Any, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, SLOW))
    emulator.faults.expired = 1.0
    with pytest.raises(CredentialError, match="log in again") as raised:
        run.wait()
    assert raised.value.code == "Unauthenticated"
    emulator.faults.expired = 0.0
    assert run.wait() is RunState.COMPLETED
    assert len(run.trials()) == 4


def test_who_follows_may_be_killed_and_another_goes_on(emulator: VertexEmulator, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 8}).to_yaml())
    command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", "gcp", "--quiet"]
    follower = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(
        lambda: bool(api.runs(project=tmp_path)) and any(t.state.ended for t in api.attach(project=tmp_path).trials())
    )
    os.kill(follower.pid, signal.SIGKILL)
    follower.communicate()
    run = api.attach(project=tmp_path)
    assert run.wait() is RunState.COMPLETED
    assert [trial.number for trial in run.trials()] == list(range(8))
    assert all(len(list(run.reports(trial.number))) == 1 for trial in run.trials())
    assert len(tuning_jobs(emulator)) == 1


def test_a_killed_driver_is_resumed_with_the_jobs_that_run(emulator: VertexEmulator, tmp_path: Path) -> None:
    job = job_of(tmp_path, SLOW, mode="driven", limits={"trials": 6})
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", "gcp", "--quiet"]
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: len(custom_jobs(emulator)) >= 3)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    run = api.attach(project=tmp_path).resume()
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 6
    assert len(custom_jobs(emulator)) == 6


def test_another_machine_takes_a_job_in_by_its_name(submit: Any, tmp_path: Path) -> None:
    space = {"x": {"type": "float", "low": 0, "high": 1}, "k": {"type": "int", "low": 1, "high": 9, "step": 2, "when": {"m": ["a", "b"]}}, "m": {"type": "categorical", "values": ["a", "b", "c"]}}  # fmt: skip
    run = submit(job_of(tmp_path, space=space, limits={"trials": 6}))
    run.wait()
    (tmp_path / "elsewhere").mkdir()
    full = run.record.native["job"]
    other = api.attach(full, "gcp", project=tmp_path / "elsewhere")
    assert other.wait() is RunState.COMPLETED
    assert other.job == run.job
    assert [(t.parameters, t.metrics, t.state) for t in other.trials()] == [
        (t.parameters, t.metrics, t.state) for t in run.trials()
    ]
    assert api.attach(full, "gcp", project=tmp_path / "elsewhere").id == other.id
    for name in (full.rpartition("/")[2], "runs"):
        (tmp_path / name).mkdir()
        assert api.attach(name, "gcp", project=tmp_path / name).record.native["job"] == full
    with pytest.raises(RunNotFound, match="no tuning job 'nothing'"):
        api.attach("nothing", "gcp", project=tmp_path / "elsewhere")


@pytest.mark.vertex_emulator(images={"*": ["python3", "-c", "import sys; print(sys.argv); sys.exit(3)"]})
def test_a_job_of_another_client_is_taken_in(emulator: VertexEmulator, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("mode", ["managed", "driven"])
def test_what_a_trial_left_comes_back(mode: str, submit: Any, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path, mode=mode))
    run.wait()
    files = run.fetch(run.best.number, tmp_path / "model")
    found = [file for file in files if file.name == "model.txt"]
    assert float(found[0].read_text()) == run.best.parameters["x"]
    with pytest.raises(TrialError, match="no trial 77"):
        run.fetch(77, tmp_path / "model")


def test_an_object_whose_name_leads_out_of_its_folder_is_not_downloaded(
    emulator: VertexEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evil(client: storage.Client, bucket: str, **_: Any) -> list[storage.Blob]:
        return [client.bucket(bucket).blob("out/1/../../escaped.txt")]

    monkeypatch.setattr(storage.Client, "list_blobs", evil)
    with pytest.raises(TrialError, match="leads out of the folder"):
        storing.download(google(emulator), f"gs://{emulator.bucket}/out/1", tmp_path / "deep" / "model")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_an_earlier_run_warms_a_driven_one(submit: Any, tmp_path: Path) -> None:
    first = submit(job_of(tmp_path))
    first.wait()
    second = submit(job_of(tmp_path, strategy={"type": "bayesian", "seed": 1}, warm_start={"runs": [first.id]}))
    assert second.wait() is RunState.COMPLETED, second.events()
    assert second.plan.mode == "driven"


def test_values_of_the_environment_reach_the_trial_and_nothing_that_is_kept(submit: Any, tmp_path: Path) -> None:
    script = "import os, cloudtune.trial as t\nt.report(score=float(os.environ['SECRET']))\n"
    run = submit(job_of(tmp_path, script, trial={"environment": {"SECRET": "0.87654321"}}))
    run.wait()
    assert run.best.metrics["score"] == 0.87654321
    kept = [path for path in (tmp_path / ".cloudtune").rglob("*") if path.is_file() and path.name != "log.txt"]
    assert not [path for path in kept if b"0.87654321" in path.read_bytes() and path.suffix not in (".db", ".db-wal")]
    elsewhere = api.attach(run.record.native["job"], "gcp", project=tmp_path / "src")
    assert elsewhere.job.trial.environment == {"SECRET": "***"}


@pytest.mark.parametrize("strategy", ["random", "bayesian"])
def test_conditions_are_the_services_own(strategy: str, submit: Any, tmp_path: Path) -> None:
    script = "import json, cloudtune.trial as t\np = t.params()\nprint('P', json.dumps(p), flush=True)\nt.report(score=p.get('depth', p.get('rate', 0)))\n"
    space = {
        "model": {"type": "categorical", "values": ["tree", "line", 3]},
        "depth": {"type": "int", "low": 1, "high": 5, "when": {"model": "tree"}},
        "rate": {"type": "float", "low": 0.1, "high": 0.9, "when": {"model": ["line", 3]}},
        "bend": {"type": "constant", "value": "k"},
    }  # fmt: skip
    run = submit(job_of(tmp_path, script, space=space, strategy={"type": strategy}, limits={"trials": 8}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert len(run.plan.request["studySpec"]["parameters"]) == 1
    for trial in run.trials():
        child = "depth" if trial.parameters["model"] == "tree" else "rate"
        assert set(trial.parameters) == {"model", child, "bend"}
        seen = next(line for line in run.logs(trial.number) if line.startswith("P "))
        assert json.loads(seen[2:]) == trial.parameters


def test_several_objectives_have_a_front(submit: Any, tmp_path: Path) -> None:
    script = "import cloudtune.trial as t\nx = t.params()['x']\nt.report(gain=x, cost=x * x)\n"
    objectives = [{"metric": "gain", "goal": "maximize"}, {"metric": "cost", "goal": "minimize"}]
    run = submit(job_of(tmp_path, script, objective=objectives))
    assert run.plan.mode == "managed"
    assert run.wait() is RunState.COMPLETED, run.events()
    assert len(run.front) == 4


def test_measurements_may_count_by_their_best(submit: Any, tmp_path: Path) -> None:
    script = "import cloudtune.trial as t\nfor value in (1, 9, 2):\n    t.report(score=value)\n"
    objective = {"metric": "score", "goal": "maximize", "measurement": "best"}
    run = submit(job_of(tmp_path, script, objective=objective, limits={"trials": 1}))
    assert run.wait() is RunState.COMPLETED, run.events()
    assert run.best.metrics == {"score": 9.0}


@pytest.mark.usefixtures("impatient")
def test_an_outage_is_sat_out(
    emulator: VertexEmulator, submit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = client_module.PATIENT.with_timeout(0.2)
    monkeypatch.setattr(client_module, "PATIENT", short)
    run = submit(job_of(tmp_path, SLOW))
    emulator.faults.errors, emulator.faults.operations = 1.0, ["GetHyperparameterTuningJob"]

    def mend(progress: Any) -> None:
        emulator.faults.errors = 0.0

    assert run.wait(mend) is RunState.COMPLETED
    assert emulator.faults.counts["error"] >= 12  # more than one call bears
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4


def test_capacity_that_is_not_there_fails_the_trials_and_says_so(
    emulator: VertexEmulator, submit: Any, tmp_path: Path
) -> None:
    emulator.faults.capacity = 1.0
    run = submit(job_of(tmp_path, limits={"trials": 2}))
    run.wait()
    assert all(trial.state is TrialState.FAILED for trial in run.trials())
    assert all("resources" in trial.reason.lower() for trial in run.trials())


def test_a_deleted_job_ends_the_run(emulator: VertexEmulator, submit: Any, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path))
    emulator.wait(run.record.native["job"], 60)
    google(emulator).jobs.delete_hyperparameter_tuning_job(name=run.record.native["job"]).result()
    assert run.wait() is RunState.CANCELLED
    assert "deleted" in run.record.reason


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


def test_the_example_finds_the_same_best_trial_in_the_emulator_as_here(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    example = Path(__file__).parent.parent / "examples" / "digits"
    shutil.copytree(example, tmp_path / "digits", ignore=shutil.ignore_patterns(".cloudtune"))
    options = ["--set", "strategy.type=random", "--trials", "4", "--json", "--quiet"]
    found = []
    for place in (
        ["--on", "local"],
        ["--on", "gcp", "--emulate", "--set", "mode=driven"],
        ["--on", "gcp", "--emulate"],
    ):
        command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", *place, *options]
        done = subprocess.run(command, cwd=tmp_path / "digits", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    here, driven, managed = found
    for part in ("number", "parameters", "metrics"):
        assert driven["best"][part] == here["best"][part]
    assert managed["counts"] == {"completed": 4}
    assert 0.1 <= managed["best"]["parameters"]["C"] <= 1e3
    assert managed["best"]["metrics"]["accuracy"] > 0.5


def test_the_command_line_runs_a_job_in_an_emulator_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(job_of(tmp_path).to_yaml())
    assert run_app(["run", "job.yaml", "--on", "gcp", "--emulate", "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["counts"] == {"completed": 4}
    best = result["best"]["number"]
    assert run_app(["logs", str(best)]) in (0, None)  # the emulator is gone, what was printed is not
    assert "step 3: score=" in capsys.readouterr().out
    assert run_app(["fetch", "latest", "-o", "model"]) in (0, None)
    assert float((tmp_path / "model" / "model.txt").read_text()) == result["best"]["parameters"]["x"]
    assert "CLOUDTUNE_VERTEX_ENDPOINT" not in os.environ
    (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 1}).to_yaml())
    assert run_app(["run", "job.yaml", "--on", "gcp", "--emulate", "--quiet"]) == 0
    capsys.readouterr()
    assert run_app(["fetch", "latest", "-o", "nothing"]) != 0
    assert "trial 0 left no files" in capsys.readouterr().err


def test_an_sdk_that_is_not_installed_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cloudtune_vertex.provider.VertexProvider.sdk", ("google.cloud.not_there",))
    job = job_of(tmp_path, trial={"image": "own:1"})
    api.plan(job, "gcp", project=tmp_path).refuse()
    with pytest.raises(ConfigError, match=r"pip install 'cloudtune\[vertex\]'"):
        api.submit(job, "gcp", project=tmp_path, base=tmp_path)
    assert api.runs(project=tmp_path) == []
    assert run_app(["check", "--on", "gcp"]) == 1
    assert "google.cloud.not_there" in capsys.readouterr().out
