"""Clients of Azure Machine Learning that we did not write work with the emulator: Microsoft's SDK, MLflow, and storage's own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_sweeps import LOG_BY_REST
from late import LATE

from cloudtune import api
from cloudtune.errors import SpecError

if LATE:
    pytest.importorskip("azure.ai.ml")
    pytest.importorskip("mlflow")
    import mlflow
    from azure.ai.ml import Input, MLClient, Output, command, load_job
    from azure.ai.ml.entities import Data, Environment
    from azure.ai.ml.exceptions import JobException
    from azure.ai.ml.operations._run_history_constants import RunHistoryConstants
    from azure.ai.ml.sweep import BanditPolicy, Choice, LogUniform
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    from cloudtune_azureml.emulator import AzureMlEmulator
    from cloudtune_azureml.sdk_trial import job_of


SCRIPT = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--kind")
parser.add_argument("--epochs", type=int)
parser.add_argument("--data")
parser.add_argument("--model")
given = parser.parse_args()
assert given.epochs == 3 and given.kind in ("a", "b c")
assert pathlib.Path(given.data, "train.csv").read_text() == "1,2,3"
print("rate is", given.rate, flush=True)
pathlib.Path(given.model, "rate.txt").write_text(str(given.rate))
pathlib.Path("outputs", "note.txt").write_text("left behind")
"""
BY_MLFLOW = """
import mlflow
with mlflow.start_run():
    for step in range(1, 4):
        mlflow.log_metric("loss", given.rate + 1 / step, step=step)
    mlflow.log_param("own", "yes")
    mlflow.set_tag("colour", "green")
"""
BY_REST = f"""
{LOG_BY_REST}
for step in range(1, 4):
    log("loss", given.rate + 1 / step, step)
"""
"""The same values without MLflow's package, whose import takes seconds of each trial."""

COMMAND = "python train.py --rate ${{search_space.rate}} --kind '${{search_space.kind}}' --epochs ${{inputs.epochs}} --data ${{inputs.data}} --model ${{outputs.model}}"
SWEEP: dict[str, Any] = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/sweepJob.schema.json",
    "type": "sweep",
    "trial": {"code": "src", "command": COMMAND, "environment": "azureml:sklearn@latest"},
    "inputs": {"epochs": 3, "data": {"type": "uri_folder", "path": "table"}},
    "outputs": {"model": {"type": "uri_folder", "mode": "rw_mount"}},
    "compute": "azureml:cpu-cluster",
    "sampling_algorithm": "random",
    "search_space": {
        "rate": {"type": "loguniform", "min_value": -6, "max_value": -1},
        "kind": {"type": "choice", "values": ["a", "b c"]},
    },
    "objective": {"goal": "minimize", "primary_metric": "loss"},
    "limits": {"max_total_trials": 2, "max_concurrent_trials": 2, "timeout": 3600},
    "experiment_name": "theirs",
    "tags": {"team": "ads"},
}


@pytest.fixture
def ml(azureml_emulator: AzureMlEmulator, monkeypatch: pytest.MonkeyPatch) -> MLClient:
    monkeypatch.setattr(RunHistoryConstants, "_WAIT_COMPLETION_POLLING_INTERVAL_MIN", 1)  # seconds; else 2
    client: MLClient = azureml_emulator.ml_client()
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sweep's file, code and data."""
    for name in ("src", "table"):
        (tmp_path / name).mkdir()
    (tmp_path / "src" / "train.py").write_text(SCRIPT + BY_REST)
    (tmp_path / "table" / "train.csv").write_text("1,2,3")
    (tmp_path / "sweep.yml").write_text(yaml.safe_dump(SWEEP))
    return tmp_path


def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("it did not come about")


def test_a_sweep_of_the_sdk_runs_from_its_file_to_its_outputs(
    ml: MLClient, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "src" / "train.py").write_text(SCRIPT + BY_MLFLOW)
    job = ml.jobs.create_or_update(load_job(folder / "sweep.yml"))
    ml.jobs.stream(job.name)
    assert f"RunId: {job.name}" in capsys.readouterr().out
    done = ml.jobs.get(job.name)
    assert (done.status, done.tags["team"], done.experiment_name) == ("Completed", "ads", "theirs")
    children = list(ml.jobs.list(parent_job_name=job.name))
    assert sorted(child.name for child in children) == [f"{job.name}_{number}" for number in range(2)]
    # Parameters and metrics are MLflow's to tell
    runs = mlflow.search_runs(
        experiment_names=["theirs"], filter_string=f"tags.mlflow.parentRunId = '{job.name}'", output_format="list"
    )
    assert len(runs) == 2
    for run in runs:
        assert run.data.metrics["loss"] == pytest.approx(float(run.data.params["rate"]) + 1 / 3)
        assert (run.data.params["own"], run.data.tags["colour"], run.info.status) == ("yes", "green", "FINISHED")
    best = min(runs, key=lambda run: run.data.metrics["loss"])
    assert done.properties["best_child_run_id"] == best.info.run_id
    history = mlflow.MlflowClient().get_metric_history(best.info.run_id, "loss")
    assert [(each.step, each.value - float(best.data.params["rate"])) for each in history] == [
        (step, pytest.approx(1 / step)) for step in (1, 2, 3)
    ]
    # What the best trial left
    ml.jobs.download(job.name, download_path=folder / "down", output_name="model")
    assert (folder / "down" / "named-outputs" / "model" / "rate.txt").read_text() == best.data.params["rate"]
    ml.jobs.download(best.info.run_id, download_path=folder / "all", all=True)
    assert next((folder / "all").rglob("note.txt")).read_text() == "left behind"
    assert "rate is" in next((folder / "all").rglob("std_log.txt")).read_text()


def test_a_command_job_of_the_sdk_becomes_a_sweep(ml: MLClient, folder: Path) -> None:
    trial = command(
        code=str(folder / "src"),
        command=COMMAND.replace("search_space", "inputs"),
        inputs={"rate": 0.1, "kind": "a", "epochs": 3, "data": Input(type="uri_folder", path=str(folder / "table"))},
        outputs={"model": Output(type="uri_folder")},
        environment=Environment(image="own:1"),
        compute="cpu-cluster",
    )
    sweep = trial(rate=LogUniform(-6, -1), kind=Choice(["a", "b c"])).sweep(
        sampling_algorithm="random", primary_metric="loss", goal="minimize", compute="cpu-cluster"
    )
    sweep.set_limits(max_total_trials=2, max_concurrent_trials=1)
    sweep.early_termination = BanditPolicy(evaluation_interval=1, slack_factor=0.1)
    job = ml.jobs.create_or_update(sweep)
    ml.jobs.stream(job.name)
    states = {child.status for child in ml.jobs.list(parent_job_name=job.name)}
    assert states <= {"Completed", "Canceled"}
    assert "Completed" in states


def test_a_command_job_streams_what_it_prints(ml: MLClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = ml.jobs.create_or_update(
        command(
            command="sleep 1; echo it is $AZUREML_RUN_ID with ${{inputs.x}}",
            inputs={"x": 0.5},
            environment="sklearn@latest",
        )
    )
    ml.jobs.stream(job.name)
    assert f"it is {job.name} with 0.5" in capsys.readouterr().out
    failing = ml.jobs.create_or_update(
        command(command="echo trouble >&2; exit 3", environment="sklearn@latest", compute="cpu-cluster")
    )
    with pytest.raises(JobException, match="status code 3"):
        ml.jobs.stream(failing.name)
    assert ml.jobs.get(failing.name).status == "Failed"


def test_assets_are_kept_and_used(ml: MLClient, folder: Path) -> None:
    data = ml.data.create_or_update(Data(name="table", version="7", type="uri_folder", path=str(folder / "table")))
    assert ml.data.get("table", version="7").path == data.path
    assert [each.version for each in ml.data.list("table")] == ["7"]
    own = ml.environments.create_or_update(Environment(name="own", version="2", image="own:2"))
    assert ml.environments.get("own", version="2").image == own.image == "own:2"
    assert ml.compute.get("cpu-cluster").name == "cpu-cluster"
    assert ml.datastores.get_default().name == "workspaceblobstore"
    assert ml.workspaces.get(ml.workspace_name).name == ml.workspace_name
    job = ml.jobs.create_or_update(
        command(
            command="cp ${{inputs.data}}/train.csv ${{outputs.copy}}/copied.csv",
            inputs={"data": Input(type="uri_folder", path="azureml:table:7")},
            outputs={
                "copy": Output(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/copies/one")
            },
            environment="own:2",
        )
    )
    ml.jobs.stream(job.name)
    ml.jobs.download(job.name, download_path=folder / "down", output_name="copy")
    assert next((folder / "down").rglob("copied.csv")).read_text() == "1,2,3"


def test_the_sdk_cancels_archives_and_deletes(ml: MLClient, azureml_emulator: AzureMlEmulator, folder: Path) -> None:
    (folder / "src" / "train.py").write_text("import time; time.sleep(60)")
    job = ml.jobs.create_or_update(load_job(folder / "sweep.yml"))
    until(lambda: len(list(ml.jobs.list(parent_job_name=job.name))) == 2)
    with pytest.raises(HttpResponseError, match="cancel it first"):
        ml.jobs.begin_delete(job.name).result()
    ml.jobs.begin_cancel(job.name).result()
    assert azureml_emulator.wait(job.name, 60) == "Canceled"
    assert {child.status for child in ml.jobs.list(parent_job_name=job.name)} == {"Canceled"}
    ml.jobs.archive(job.name)
    assert [each.name for each in ml.jobs.list()] == []
    ml.jobs.restore(job.name)
    assert [each.name for each in ml.jobs.list()] == [job.name]
    ml.jobs.begin_delete(job.name).result()
    with pytest.raises(ResourceNotFoundError):
        ml.jobs.get(job.name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"limits": {"max_total_trials": 5000}}, "max_total_trials"),
        (
            {"early_termination": {"type": "truncation_selection", "truncation_percentage": 300}},
            "truncation_percentage",
        ),
        ({"sampling_algorithm": "grid"}, "rate"),
    ],
)
def test_what_the_service_refuses_the_emulator_refuses(
    change: dict[str, Any], says: str, ml: MLClient, folder: Path
) -> None:
    (folder / "sweep.yml").write_text(yaml.safe_dump({**SWEEP, **change}))
    with pytest.raises(HttpResponseError, match=says):
        ml.jobs.create_or_update(load_job(folder / "sweep.yml"))


def test_a_users_own_command_is_the_trial_of_a_job(azureml_emulator: AzureMlEmulator, folder: Path) -> None:
    own = command(
        code="./src",
        command=COMMAND.replace("search_space", "inputs"),
        inputs={"rate": 0.1, "kind": "a", "epochs": 3, "data": Input(type="uri_folder", path="./table")},
        outputs={"model": Output(type="uri_folder")},
        environment="azureml:sklearn@latest",
        display_name="own",
        timeout=600,
        tags={"team": "ads"},
    )
    space = {
        "rate": {"type": "float", "low": 0.001, "high": 0.1, "scale": "log"},
        "kind": {"type": "categorical", "values": ["a", "b c"]},
    }
    wanted: dict[str, Any] = {"metric": "loss", "goal": "minimize"}
    job = job_of(own, objective=wanted, space=space, limits={"trials": 2, "parallel": 2}, strategy={"type": "random"})
    assert (job.name, job.tags, job.limits.trial_time.total_seconds()) == ("own", {"team": "ads"}, 600)
    for mode in ("managed", "driven"):
        run = api.submit(job.model_copy(update={"mode": mode}), "azure", project=folder, base=folder)
        run.wait()
        assert [trial.reason for trial in run.trials()] == ["", ""]
        assert run.best.metrics["loss"] == pytest.approx(run.best.parameters["rate"] + 1 / 3)
    with pytest.raises(SpecError, match=r"no \$\{\{inputs.depth\}\}"):
        job_of(own, objective=wanted, space={"depth": {"type": "int", "low": 1, "high": 3}}, limits={"trials": 3})


@pytest.mark.complete
def test_a_client_in_another_process_finds_the_emulator_by_its_variables(tmp_path: Path) -> None:
    serving = [sys.executable, "-m", "cloudtune", "emulate", "azureml", "--json"]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            text = ""
            while not text.rstrip().endswith("}"):
                text += server.stdout.readline()
            variables = json.loads(text)
            code = "import mlflow\nwith mlflow.start_run() as run:\n    mlflow.log_metric('x', 2)\nprint(mlflow.get_run(run.info.run_id).data.metrics)\n"
            done = subprocess.run(
                [sys.executable, "-c", code], env={**variables, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True
            )
            assert "{'x': 2.0}" in done.stdout, done.stderr
        finally:
            server.terminate()
    assert server.returncode == 0
