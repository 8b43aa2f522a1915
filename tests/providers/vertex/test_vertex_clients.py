"""Clients of Vertex AI that we did not write work with the emulator: Google's SDK, its gapic clients, Storage and Logging."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune import api
from cloudtune_vertex.sdk_trial import job_of

if LATE:
    pytest.importorskip("google.cloud.aiplatform")
    from google.api_core import exceptions
    from google.api_core.client_options import ClientOptions
    from google.cloud import aiplatform, storage
    from google.cloud import aiplatform_v1 as v1
    from google.cloud import logging as cloud_logging
    from google.cloud.aiplatform import hyperparameter_tuning as hpt

    from cloudtune_vertex.client import plain_transport
    from cloudtune_vertex.emulator import VertexEmulator
    from cloudtune_vertex.emulator.fixture import shorten_waits

    TUNED = {
        "rate": hpt.DoubleParameterSpec(min=0.001, max=1, scale="log"),
        "units": hpt.IntegerParameterSpec(min=4, max=64, scale="linear"),
        "kind": hpt.CategoricalParameterSpec(values=["a", "b"]),
        "batch": hpt.DiscreteParameterSpec(values=[8, 16], scale="linear"),
    }


SCRIPT = """
import argparse, json, os, pathlib
import hypertune
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--units", type=int)
parser.add_argument("--kind")
parser.add_argument("--batch", type=float)
parser.add_argument("--epochs", type=int)
given = parser.parse_args()
assert given.epochs == 3 and given.kind in ("a", "b") and given.batch in (8, 16)
print("rate is", given.rate, flush=True)
told = hypertune.HyperTune()
for step in range(1, 4):
    told.report_hyperparameter_tuning_metric("loss", given.rate + 1 / step, global_step=step)
folder = pathlib.Path(os.environ["AIP_MODEL_DIR"].replace("gs://", os.environ.get("CLOUDTUNE_GCS", "/gcs") + "/"))
folder.mkdir(parents=True, exist_ok=True)
(folder / "rate.txt").write_text(str(given.rate))
"""
HYPERTUNE = """
import json, os, time
class HyperTune:
    def __init__(self):
        self.path = os.environ.get("CLOUD_ML_HP_METRIC_FILE", "/var/hypertune/output.metrics")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
    def report_hyperparameter_tuning_metric(self, hyperparameter_metric_tag, metric_value, global_step=None):
        line = {"timestamp": time.time(), "trial": os.environ.get("CLOUD_ML_TRIAL_ID", 0),
                hyperparameter_metric_tag: str(float(metric_value)), "global_step": str(int(global_step or 0)),
                "checkpoint_path": ""}
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\\n")
"""
"""What the package cloudml-hypertune writes (hypertune.py of version 0.1.0.dev6)."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_waits(monkeypatch, 0.1)


@pytest.fixture
def program(tmp_path: Path) -> list[dict[str, Any]]:
    """A worker pool whose image is told apart by its command: this machine's Python runs a script."""
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "hypertune.py").write_text(HYPERTUNE)
    container = {"image_uri": "their/own:1", "command": ["python3", str(tmp_path / "train.py")], "args": ["--epochs=3"]}
    return [{"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": container}]


def tuning_job(program: list[dict[str, Any]], **settings: Any) -> aiplatform.HyperparameterTuningJob:
    """As in the guide "Create a hyperparameter tuning job"."""
    custom = aiplatform.CustomJob(display_name="one", worker_pool_specs=program)
    return aiplatform.HyperparameterTuningJob(
        display_name="sdk",
        custom_job=custom,
        metric_spec={"loss": "minimize"},
        parameter_spec=TUNED,
        **{"max_trial_count": 4, "parallel_trial_count": 2, "labels": {"team": "ads"}, **settings},
    )


def test_the_sdks_tuning_job_runs(
    vertex_emulator: VertexEmulator, program: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    job = tuning_job(program, search_algorithm="random")
    job.run()
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert [trial.id for trial in job.trials] == ["1", "2", "3", "4"]
    best = min(job.trials, key=lambda trial: trial.final_measurement.metrics[0].value)
    tuned = {parameter.parameter_id: parameter.value for parameter in best.parameters}
    assert set(tuned) == set(TUNED)
    assert best.final_measurement.metrics[0].value == pytest.approx(tuned["rate"] + 1 / 3)
    model = storage.Client().bucket(vertex_emulator.bucket).list_blobs()
    assert len([blob for blob in model if blob.name.endswith("/model/rate.txt")]) == 4
    (found,) = aiplatform.HyperparameterTuningJob.list(filter='labels.team="ads"')
    assert found.resource_name == job.resource_name
    same = aiplatform.HyperparameterTuningJob.get(job.resource_name.rpartition("/")[2])
    assert same.to_dict() == job.to_dict()
    job.delete()
    assert aiplatform.HyperparameterTuningJob.list() == []


def test_the_sdk_cancels(vertex_emulator: VertexEmulator, program: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import time; time.sleep(60)")
    job = tuning_job(program)
    job.run(sync=False)
    job.wait_for_resource_creation()
    until(lambda: len(job.trials) == 2)
    job.cancel()
    assert vertex_emulator.wait(job.resource_name, 60) == "JOB_STATE_CANCELLED"
    with pytest.raises(RuntimeError, match="CANCELED"):
        job.wait()
    assert {trial.state.name for trial in job.trials} == {"INFEASIBLE"}


def until(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("it did not come about")


def test_the_sdks_custom_job_runs_a_local_script(vertex_emulator: VertexEmulator, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(
        "import os, sys\nprint('given', sys.argv[1:], os.environ['MODE'])\nassert sys.argv[1:] == ['--a=1']\n"
    )
    job = aiplatform.CustomJob.from_local_script(
        display_name="local script",
        script_path=str(tmp_path / "task.py"),
        container_uri="us-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-6:latest",
        args=["--a=1"],
        environment_variables={"MODE": "fast"},
    )
    job.run()
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    job_id = job.resource_name.rpartition("/")[2]
    logs = cloud_logging.Client(
        credentials=vertex_emulator.credentials,
        client_options=ClientOptions(api_endpoint=vertex_emulator.url),
        _use_grpc=False,
    )
    printed = [entry.payload for entry in logs.list_entries(filter_=f'resource.labels.job_id="{job_id}"')]
    assert any("given ['--a=1'] fast" in str(line) for line in printed), printed


def test_a_custom_job_that_fails_says_why(vertex_emulator: VertexEmulator, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("raise SystemExit('no good')")
    container = {"image_uri": "their/own:1", "command": ["python3", str(tmp_path / "task.py")]}
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": container}
    job = aiplatform.CustomJob(display_name="bad", worker_pool_specs=[pool])
    with pytest.raises(RuntimeError, match="no good"):
        job.run()


def test_a_users_own_custom_job_is_the_trial_of_a_job(
    vertex_emulator: VertexEmulator, program: list[dict[str, Any]], tmp_path: Path
) -> None:
    container = program[0]["container_spec"]
    container["env"] = [{"name": "MODE", "value": "fast"}]
    container["args"] = ["--epochs=3", "--kind=a", "--batch=8", "--rate=0.5"]
    program[0]["machine_spec"] = {
        "machine_type": "n1-standard-8",
        "accelerator_type": "NVIDIA_TESLA_T4",
        "accelerator_count": 1,
    }
    custom = aiplatform.CustomJob(
        display_name="own", worker_pool_specs=program, base_output_dir="gs://out/here", labels={"team": "ads"}
    )
    vertex_emulator.buckets.make("out")
    job = job_of(
        custom,
        objective={"metric": "loss", "goal": "minimize"},
        space={"rate": {"type": "float", "low": 0.1, "high": 1.0}},
        strategy={"type": "random"},
        limits={"trials": 3, "parallel": 2},
    )
    plan = api.plan(job, "gcp", project=tmp_path)
    plan.refuse()
    made: Any = plan.request
    assert made["displayName"] == "own"
    assert made["labels"] == {"team": "ads"}
    (pool,) = made["trialJobSpec"]["workerPoolSpecs"]
    assert pool["machineSpec"]["acceleratorType"] == "NVIDIA_TESLA_T4"
    assert pool["containerSpec"]["command"] == container["command"]
    assert pool["containerSpec"]["args"] == container["args"]
    assert pool["containerSpec"]["env"] == [{"name": "MODE", "value": "***"}]
    assert made["trialJobSpec"]["baseOutputDirectory"] == {"outputUriPrefix": "gs://out/here"}
    (tmp_path / "base").mkdir()  # the program is a path of the image, which this machine plays
    run = api.submit(job, "gcp", project=tmp_path, base=tmp_path / "base")
    run.wait()
    assert len(run.trials()) == 3
    for trial in run.trials():
        assert trial.metrics["loss"] == pytest.approx(trial.parameters["rate"] + 1 / 3)


# The gapic clients


def client_of(emulator: VertexEmulator, transport: str) -> v1.JobServiceClient:
    if transport == "grpc":
        return v1.JobServiceClient(transport=plain_transport(f"http://{emulator.target}", emulator.credentials))
    options = ClientOptions(api_endpoint=emulator.url)
    return v1.JobServiceClient(credentials=emulator.credentials, transport="rest", client_options=options)


def request(command: list[str], **fields: Any) -> v1.HyperparameterTuningJob:
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "their/own:1", "command": command}}  # fmt: skip
    data = {
        "displayName": "gapic",
        "studySpec": {
            "metrics": [{"metricId": "loss", "goal": "MINIMIZE"}],
            "parameters": [{"parameterId": "x", "doubleValueSpec": {"minValue": 0, "maxValue": 1}}],
        },
        "maxTrialCount": 2,
        "parallelTrialCount": 2,
        "trialJobSpec": {"workerPoolSpecs": [pool]},
        **fields,
    }
    return v1.HyperparameterTuningJob.from_json(json.dumps(data))


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_gapic_client_makes_gets_lists_cancels_and_deletes(vertex_emulator: VertexEmulator, transport: str) -> None:
    client, parent = client_of(vertex_emulator, transport), vertex_emulator.parent
    made = [
        client.create_hyperparameter_tuning_job(
            parent=parent,
            hyperparameter_tuning_job=request(
                ["sh", "-c", "sleep 60", "trial"], displayName=f"job {n}", labels={"n": str(n % 2)}
            ),
        )
        for n in range(5)
    ]
    assert client.get_hyperparameter_tuning_job(name=made[0].name).display_name == "job 0"
    pages = client.list_hyperparameter_tuning_jobs(request={"parent": parent, "page_size": 2})
    assert [len(page.hyperparameter_tuning_jobs) for page in pages.pages] == [2, 2, 1]
    named = client.list_hyperparameter_tuning_jobs(request={"parent": parent, "filter": 'labels.n="1"'})
    assert [job.display_name for job in named] == ["job 3", "job 1"]
    with pytest.raises(exceptions.FailedPrecondition if transport == "grpc" else exceptions.BadRequest):
        client.delete_hyperparameter_tuning_job(name=made[0].name)
    for job in made:
        client.cancel_hyperparameter_tuning_job(name=job.name)
        assert vertex_emulator.wait(job.name, 60) == "JOB_STATE_CANCELLED"
    client.delete_hyperparameter_tuning_job(name=made[0].name).result(timeout=60)
    with pytest.raises(exceptions.NotFound):
        client.get_hyperparameter_tuning_job(name=made[0].name)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"displayName": ""}, "display_name|displayName"),
        ({"maxTrialCount": 0}, "max_trial_count|maxTrialCount"),
        ({"labels": {"Team": "x"}}, "lowercase"),
        ({"studySpec": {"metrics": [{"metricId": "a"}], "parameters": [{"parameterId": "x", "doubleValueSpec": {"minValue": 0, "maxValue": 1}, "scaleType": "UNIT_LOG_SCALE"}]}}, "above 0"),
    ],
)  # fmt: skip
def test_what_the_service_refuses_is_refused(
    vertex_emulator: VertexEmulator, transport: str, fields: dict[str, Any], says: str
) -> None:
    client = client_of(vertex_emulator, transport)
    with pytest.raises(exceptions.InvalidArgument if transport == "grpc" else exceptions.BadRequest, match=says):
        client.create_hyperparameter_tuning_job(
            parent=vertex_emulator.parent, hyperparameter_tuning_job=request(["true"], **fields)
        )
    assert list(client.list_hyperparameter_tuning_jobs(parent=vertex_emulator.parent)) == []


# Cloud Storage


def test_cloud_storages_client_writes_reads_lists_and_deletes(vertex_emulator: VertexEmulator, tmp_path: Path) -> None:
    client = storage.Client(project=vertex_emulator.project)
    bucket = client.create_bucket("mine", location="us-central1")
    assert client.lookup_bucket("mine") is not None
    assert client.lookup_bucket("yours") is None
    with pytest.raises(exceptions.Conflict):
        client.create_bucket("mine")
    large = bytes(range(256)) * 40_000  # more than one chunk of a resumable upload
    blob = bucket.blob("a/größe 1.bin", chunk_size=256 * 1024)
    blob.upload_from_string(large)
    assert bucket.blob("a/größe 1.bin").download_as_bytes() == large
    assert bucket.blob("a/größe 1.bin").download_as_bytes(start=256, end=511) == bytes(range(256))
    bucket.blob("b.txt").upload_from_string("text", content_type="text/plain", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("b.txt").upload_from_string("other", if_generation_match=0)
    assert [blob.name for blob in client.list_blobs("mine")] == ["a/größe 1.bin", "b.txt"]
    assert [blob.name for blob in client.list_blobs("mine", prefix="a/")] == ["a/größe 1.bin"]
    folders = client.list_blobs("mine", delimiter="/")
    assert [blob.name for blob in folders] == ["b.txt"]
    assert folders.prefixes == {"a/"}
    bucket.blob("b.txt").delete()
    with pytest.raises(exceptions.NotFound):
        bucket.blob("b.txt").download_as_bytes()
