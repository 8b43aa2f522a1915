"""A job as the step of a pipeline: SageMaker's and Azure's own, and a component of Kubeflow Pipelines, judged by their SDKs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from late import LATE

from cloudtune.cli.app import run_app

if LATE:
    pytest.importorskip("botocore")
    pytest.importorskip("azure.ai.ml")

_IMAGE = """{sagemaker: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/image:1", azureml: "azureml:env@latest", vertex: "pkg.dev/i:1"}"""
_JOB = f"""
name: as-step
trial: {{source: ., command: "python train.py", image: {_IMAGE}, environment: {{GREETING: "it's"}}}}
identity: {{sagemaker: "arn:aws:iam::123456789012:role/tuning"}}
objective: {{metric: loss, goal: minimize}}
space:
  lr: {{type: float, low: 1.0e-4, high: 1.0, scale: log}}
  layers: {{type: int, low: 1, high: 4}}
  kind: {{type: categorical, values: [tree, line]}}
strategy: {{type: random, seed: 3}}
limits: {{trials: 4, trial_time: 1m, failed: 2}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "job.yaml").write_text(_JOB)
    (tmp_path / "train.py").write_text("print('loss=1')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exported(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[Any, str]:
    assert run_app(["export", "job.yaml", *words]) == code
    found = capsys.readouterr()
    return (yaml.safe_load(found.out) if code == 0 else None), found.err


def test_sagemakers_step_has_the_request_and_only_the_name_is_left_to_each_execution(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel
    from botocore.validate import validate_parameters

    request, _ = exported(capsys, "--to", "sagemaker")
    pipeline, notes = exported(capsys, "--to", "sagemaker", "--as", "step")
    (step,) = pipeline["Steps"]
    assert pipeline["Version"] == "2020-12-01"
    assert (step["Name"], step["Type"]) == ("as-step", "Tuning")
    assert step["Arguments"] == {key: value for key, value in request.items() if key != "HyperParameterTuningJobName"}
    assert "limits.failed: lost in a pipeline" in notes
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"))
    made = {"PipelineName": "p", "ClientRequestToken": "t" * 32, "RoleArn": request["TrainingJobDefinition"]["RoleArn"], "PipelineDefinition": json.dumps(pipeline)}  # fmt: skip
    validate_parameters(made, model.operation_model("CreatePipeline").input_shape)
    validate_parameters({"HyperParameterTuningJobName": "n", **step["Arguments"]}, model.operation_model("CreateHyperParameterTuningJob").input_shape)  # fmt: skip


def test_azures_loader_reads_the_node_with_the_parameters_as_inputs_of_its_trial(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from azure.ai.ml import load_job

    pipeline, notes = exported(capsys, "--to", "azureml", "--as", "step", "-o", "pipeline.yml")
    assert pipeline is None
    assert "limits.failed: lost in a pipeline" in notes
    text = Path("pipeline.yml").read_text().replace("${code}", ".")
    Path("pipeline.yml").write_text(text)
    node = load_job("pipeline.yml").jobs["as_step"]
    assert type(node).__name__ == "Sweep"
    inputs = node.trial.inputs
    assert {name: inputs[name].type for name in ("lr", "layers", "kind")} == {
        "lr": "number",
        "layers": "integer",
        "kind": "string",
    }
    assert set(node.search_space) == {"lr", "layers", "kind"}
    assert "search_space" not in node.trial.command
    assert "${{inputs.lr}}" in node.trial.command
    assert node.limits.max_total_trials == 4
    exports = node.trial.command.partition(" && ")[0]
    said = subprocess.run(
        ["sh", "-c", f'{exports} && printf %s "$GREETING"'], capture_output=True, text=True, check=True
    )
    assert said.stdout == "it's"
    rest = load_job("pipeline.yml")._to_rest_object().properties.jobs["as_step"]
    assert rest["type"] == "sweep"
    assert rest["objective"] == {"goal": "minimize", "primary_metric": "loss"}


def test_a_job_that_cloudtune_would_drive_is_no_step_and_a_place_without_steps_says_what_to_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("sagemaker", "azureml"):
        _, said = exported(capsys, "--to", place, "--as", "step", "--set", "strategy={type: evolutionary}", code=2)
        assert "a pipeline has no driver" in said
    for place in ("vertex", "katib"):
        assert "--to kubeflow" in exported(capsys, "--to", place, "--as", "step", code=2)[1]
    conditional = "space.depth={type: int, low: 1, high: 3, when: {kind: tree}}"
    _, said = exported(capsys, "--to", "azureml", "--as", "step", "--set", conditional, code=2)
    assert "no conditions" in said or "a pipeline has no driver" in said


def test_the_component_of_kubeflow_runs_the_job_and_hands_on_its_best(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    component, notes = exported(capsys, "--to", "kubeflow", "--as", "step")
    assert "does not travel" in notes
    container = component["implementation"]["container"]
    places = {"profile": "local", "result": "out/result/data", "best": "out/best/data"}
    words = [each if isinstance(each, str) else places[next(iter(each.values()))] for each in container["args"]]
    bin_ = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    done = subprocess.run([*container["command"], *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(Path("out/result/data").read_text())
    assert result["state"] == "completed"
    assert json.loads(Path("out/best/data").read_text()) == result["best"]["parameters"]
