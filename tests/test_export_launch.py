"""What is exported with its code uploaded is launched by the services' own clients, as it stands and without cloudtune."""

import json
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import job_of

from cloudtune.cli.app import run_app
from cloudtune.testing.conformance import wait_until

SCRIPT = """
import os, pathlib
import cloudtune.trial as t
plus = float(pathlib.Path(t.data("table"), "n.txt").read_text()) + float(os.environ["PLUS"])
t.report(score=t.params()["x"] + plus)
"""


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Exports a job with code, data and an environment, and gives the file."""
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "n.txt").write_text("10")
    job = job_of(tmp_path, SCRIPT, data={"table": "table"}, trial={"environment": {"PLUS": "100"}})
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def export(to: str, suffix: str) -> Path:
        file = tmp_path / "elsewhere" / f"request.{suffix}"
        assert run_app(["export", "../job.yaml", "--to", to, "--upload", "-o", file.name]) in (0, None)
        first = file.read_bytes()
        assert b"${code}" not in first
        assert run_app(["export", "../job.yaml", "--to", to, "--upload", "-o", file.name, "--force"]) in (0, None)
        assert file.read_bytes() == first, "the same job gives the same request"
        assert not (tmp_path / ".cloudtune" / "runs").exists()
        return file

    return export


@pytest.mark.usefixtures("sagemaker_emulator")
def test_boto3_launches_it(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    import boto3

    client = boto3.client("sagemaker")
    request = json.loads(exported("aws", "json").read_text())
    client.create_hyper_parameter_tuning_job(**request)
    name = request["HyperParameterTuningJobName"]
    told: dict[str, Any] = {}

    def ended() -> bool:
        told.update(client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))
        return told["HyperParameterTuningJobStatus"] != "InProgress"

    wait_until(ended)
    assert told["TrainingJobStatusCounters"]["Completed"] == 4
    assert 110 <= told["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] <= 111


def test_googles_client_launches_it(vertex_emulator: Any, exported: Any) -> None:
    from google.cloud import aiplatform_v1 as v1
    from google.protobuf import json_format

    message = v1.HyperparameterTuningJob()
    json_format.Parse(exported("gcp", "json").read_text(), message._pb)
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.settings import VertexSettings

    google = Google(VertexSettings(project=vertex_emulator.project, endpoint=f"http://{vertex_emulator.target}"))
    made = google.jobs.create_hyperparameter_tuning_job(parent=google.parent, hyperparameter_tuning_job=message)
    vertex_emulator.wait(made.name, 60)
    trials = google.jobs.get_hyperparameter_tuning_job(name=made.name).trials
    assert [trial.state.name for trial in trials] == ["SUCCEEDED"] * 4
    assert all(110 <= trial.final_measurement.metrics[0].value <= 111 for trial in trials)


def test_azures_client_launches_it(azureml_emulator: Any, exported: Any) -> None:
    from azure.ai.ml import load_job

    client = azureml_emulator.ml_client()
    made = client.jobs.create_or_update(load_job(exported("azure", "yml")))
    azureml_emulator.wait(made.name, 60)
    assert client.jobs.get(made.name).status == "Completed"
    children = azureml_emulator.jobs.runs.children(made.name)
    logged = [metric.value for child in children for metric in child.status().metrics if metric.key == "score"]
    assert len(logged) == 4
    assert all(110 <= value <= 111 for value in logged)


def test_what_travels_in_images_needs_no_upload(exported: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["export", "../job.yaml", "--to", "katib", "--upload"]) == 2
    assert "whose images hold their code" in capsys.readouterr().err
