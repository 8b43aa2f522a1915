"""From Vertex AI's messages to jobs and back: nothing is lost."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import HealthCheck, given, settings
from vertex_requests import requests

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import SpecError, UnsupportedError
from cloudtune.planning.plan import Support
from cloudtune.spec.choice import for_tuner
from cloudtune.store.secrets import masked
from cloudtune.testing.specs import jobs
from cloudtune_vertex.parse import parse
from cloudtune_vertex.provider import VertexProvider
from cloudtune_vertex.rules import problems
from cloudtune_vertex.schema import normal
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.translate import translate


def native_request(job: TuningJob, settings: VertexSettings | None = None) -> dict[str, Any]:
    """Return the request of a job with the values of its variables."""
    said = {} if settings is None else settings.model_dump(exclude_unset=True)
    return VertexProvider(said).to_native(job)


@given(requests())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_message_comes_back_as_it_was(request: dict[str, Any]) -> None:
    assert problems(request) == []
    before = copy.deepcopy(request)
    job = parse(request)
    assert request == before
    again = TuningJob.from_yaml(job.to_yaml())
    assert again == job
    assert normal(native_request(again)) == normal(request)
    plan = translate(job)
    assert [note for note in plan.notes if note.support is Support.UNSUPPORTED] == []


@given(requests())
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
def test_the_sdk_sees_the_same_message(request: dict[str, Any]) -> None:
    json_format = pytest.importorskip("google.protobuf.json_format")
    kind = pytest.importorskip("google.cloud.aiplatform_v1").HyperparameterTuningJob.pb()
    assert json_format.ParseDict(request, kind()) == json_format.ParseDict(native_request(parse(request)), kind())


@given(jobs())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_job_that_was_sent_comes_back(job: TuningJob) -> None:
    job = for_tuner(job)  # `auto` is chosen before a job is translated
    plan = translate(job, VertexSettings(bucket="bucket", image="own:1"))
    if plan.mode != "managed" or any(note.support is Support.UNSUPPORTED for note in plan.notes):
        return
    sent = native_request(job, VertexSettings(bucket="bucket", image="own:1"))
    back = parse(sent)
    assert normal(native_request(back)) == normal(sent)
    if "CLOUDTUNE_SPEC" not in json.dumps(sent):
        return  # a program that starts by itself: the message is all there is
    ours, theirs = masked(job).to_data(), masked(back).to_data()
    for field in ("space", "objective", "strategy", "stopping", "limits", "metrics"):
        assert theirs.get(field) == ours.get(field), field


PLAIN: dict[str, Any] = {
    "displayName": "iris",
    "studySpec": {
        "metrics": [{"metricId": "accuracy", "goal": "MAXIMIZE"}],
        "parameters": [
            {"parameterId": "lr", "doubleValueSpec": {"minValue": 0.0001, "maxValue": 0.1}, "scaleType": "UNIT_LOG_SCALE"},
            {"parameterId": "units", "discreteValueSpec": {"values": [64.0, 128.0]}, "scaleType": "UNIT_LINEAR_SCALE"},
            {"parameterId": "kind", "categoricalValueSpec": {"values": ["a", "b"]}},
        ],
        "measurementSelectionType": "BEST_MEASUREMENT",
    },
    "maxTrialCount": 10,
    "parallelTrialCount": 2,
    "trialJobSpec": {
        "workerPoolSpecs": [
            {
                "machineSpec": {"machineType": "n1-standard-8", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
                "replicaCount": 1,
                "containerSpec": {"imageUri": "own/image:1", "args": ["--epochs=3"]},
            }
        ],
        "baseOutputDirectory": {"outputUriPrefix": "gs://bucket/out"},
    },
}  # fmt: skip


def test_what_can_be_said_anywhere_is_said_in_neutral_fields() -> None:
    job = parse(PLAIN)
    data = job.to_data()
    assert data["space"] == {
        "lr": {"type": "float", "low": 0.0001, "high": 0.1, "scale": "log"},
        "units": {"type": "ordinal", "values": [64, 128]},
        "kind": {"type": "categorical", "values": ["a", "b"]},
    }
    assert data["objective"] == {"metric": "accuracy", "goal": "maximize", "measurement": "best"}
    assert data["strategy"] == {"type": "bayesian"}
    assert data["limits"] == {"trials": 10, "parallel": 2}
    assert data["compute"] == {"instance": "n1-standard-8", "accelerators": {"type": "NVIDIA_TESLA_T4"}}
    assert data["output"] == "gs://bucket/out"
    assert data["vertex"] == {"trialJobSpec": {"workerPoolSpecs": [{"containerSpec": {"args": ["--epochs=3"]}}]}}


def test_every_spelling_of_a_message_is_the_same_job() -> None:
    def snake(data: Any) -> Any:
        if isinstance(data, dict):
            return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake(value) for key, value in data.items()}  # fmt: skip
        return [snake(each) for each in data] if isinstance(data, list) else data

    assert parse(snake(PLAIN)) == parse(PLAIN)
    told = {
        **PLAIN,
        "name": "projects/1/locations/us-central1/hyperparameterTuningJobs/2",
        "state": "JOB_STATE_SUCCEEDED",
        "trials": [{"id": "1"}],
        "createTime": "2026-01-01T00:00:00Z",
        "maxTrialCount": "10",
    }
    assert parse(told) == parse(PLAIN)


def test_the_configuration_file_of_gcloud_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(
        "studySpec:\n"
        "  metrics:\n  - metricId: accuracy\n    goal: MAXIMIZE\n"
        "  parameters:\n  - parameterId: lr\n    doubleValueSpec: {minValue: 0.1, maxValue: 1}\n"
        "trialJobSpec:\n  workerPoolSpecs:\n"
        "  - machineSpec: {machineType: n1-standard-8}\n    replicaCount: 1\n    containerSpec: {imageUri: own:1}\n"
    )
    assert run_app(["import", str(tmp_path / "config.yaml"), "--from", "vertex", "-o", str(tmp_path / "job.yaml")]) == 0
    capsys.readouterr()
    job = TuningJob.from_yaml(tmp_path / "job.yaml")
    assert (job.limits.trials, job.limits.parallel) == (1, 1)
    assert run_app(["export", str(tmp_path / "job.yaml"), "--to", "vertex"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert exported["trialJobSpec"]["workerPoolSpecs"][0]["machineSpec"] == {"machineType": "n1-standard-8"}
    assert exported["displayName"] == "hyperparameter-tuning-job"


def test_an_imported_job_runs_elsewhere_as_well() -> None:
    request = copy.deepcopy(PLAIN)
    request["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]["command"] = ["python", "train.py"]
    job = parse(request)
    plan = api.plan(job, "local")
    plan.refuse()
    assert job.trial.command is not None
    aws = api.plan(job.model_copy(update={"identity": "arn:aws:iam::123456789012:role/r", "compute": job.compute.model_copy(update={"instance": "ml.m5.large"}), "output": None}), "aws")  # fmt: skip
    assert aws.support("space.lr") is Support.EXACT


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        (lambda r: r.pop("trialJobSpec"), "trialJobSpec", "must be given"),
        (lambda r: r.update(maxTrials=3), "maxTrials", "did you mean 'maxTrialCount'"),
        (lambda r: r["studySpec"].update(algorithm="GRID"), "studySpec.algorithm", "GRID_SEARCH"),
        (lambda r: r["studySpec"]["parameters"][0].update(doubleValueSpec={"minValue": "low"}), "studySpec.parameters[0].doubleValueSpec.minValue", "a number"),
        (lambda r: r["studySpec"]["parameters"][0].update(integerValueSpec={}), "studySpec.parameters[0].integerValueSpec", "excludes"),
        (lambda r: r["studySpec"].update(medianAutomatedStoppingSpec={}, decayCurveStoppingSpec={}), "studySpec.decayCurveStoppingSpec", "excludes"),
        (lambda r: r["trialJobSpec"].update(scheduling={"timeout": 3600}), "trialJobSpec.scheduling.timeout", '"3600s"'),
    ],
)  # fmt: skip
def test_what_is_no_message_is_told_with_its_place(change: Any, path: str, says: str) -> None:
    request = copy.deepcopy(PLAIN)
    change(request)
    with pytest.raises(SpecError) as raised:
        parse(request)
    assert [each for each in raised.value.problems if each.path == path and says in each.message], raised.value
    with pytest.raises(SpecError, match="no object"):
        parse([1])


def test_import_and_export_give_the_same_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "request.json").write_text(json.dumps(PLAIN))
    assert (
        run_app(["import", str(tmp_path / "request.json"), "--from", "vertex", "-o", str(tmp_path / "job.yaml")]) == 0
    )
    assert "settings of vertex alone: " in capsys.readouterr().err
    assert run_app(["export", str(tmp_path / "job.yaml"), "--to", "gcp"]) == 0
    assert json.loads(capsys.readouterr().out) == PLAIN


def test_what_cannot_be_sent_is_not_exported() -> None:
    job = parse(PLAIN).model_copy(update={"vertex": {"trialJobSpec": None}})
    with pytest.raises(UnsupportedError):
        native_request(job)
