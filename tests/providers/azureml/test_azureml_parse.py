"""From Azure Machine Learning's sweep jobs to jobs and back: nothing is lost."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from amounts import examples
from azureml_sweeps import sweeps
from hypothesis import HealthCheck, given, settings

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import SpecError
from cloudtune.planning.plan import Support
from cloudtune.spec.choice import for_tuner
from cloudtune.store.secrets import masked
from cloudtune.testing.specs import jobs
from cloudtune_azureml import schema
from cloudtune_azureml.parse import parse
from cloudtune_azureml.provider import AzureMlProvider
from cloudtune_azureml.rest import file_of
from cloudtune_azureml.rules import problems
from cloudtune_azureml.settings import AzureMlSettings
from cloudtune_azureml.translate import translate


def native_request(job: TuningJob, settings: AzureMlSettings | None = None) -> dict[str, Any]:
    """Return the request of a job with the values of its variables."""
    said = {} if settings is None else settings.model_dump(exclude_unset=True)
    return AzureMlProvider(said).to_native(job)


@given(sweeps())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_sweep_comes_back_as_it_was(sweep: dict[str, Any]) -> None:
    assert problems(sweep) == []
    before = copy.deepcopy(sweep)
    job = parse(sweep)
    assert sweep == before
    again = TuningJob.from_yaml(job.to_yaml())
    assert again == job
    assert native_request(again) == sweep


@given(jobs())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_job_that_was_sent_comes_back(job: TuningJob) -> None:
    job = for_tuner(job)  # `auto` is chosen before a job is translated
    profile = AzureMlSettings(environment="azureml:own@latest")
    plan = translate(job, profile)
    if plan.mode != "managed" or any(note.support is Support.UNSUPPORTED for note in plan.notes):
        return
    sent = native_request(job, profile)
    back = parse(sent)
    assert native_request(back) == sent
    if "CLOUDTUNE_SPEC" not in json.dumps(sent):
        return  # a program that starts by itself: the file is all there is
    ours, theirs = masked(job).to_data(), masked(back).to_data()
    for field in ("space", "objective", "strategy", "stopping", "limits", "metrics"):
        assert theirs.get(field) == ours.get(field), field


SWEEP: dict[str, Any] = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/sweepJob.schema.json",
    "type": "sweep",
    "trial": {
        "code": "src",
        "command": "python main.py --data ${{inputs.data}} --lr ${{search_space.lr}} --kind ${{search_space.kind}} --epochs ${{inputs.epochs}}",
        "environment": "azureml:own@latest",
    },
    "inputs": {"data": {"type": "uri_folder", "path": "azureml:iris:1"}, "epochs": 3},
    "compute": "azureml:cpu",
    "sampling_algorithm": "random",
    "search_space": {
        "lr": {"type": "loguniform", "min_value": -6.907755278982137, "max_value": 0},
        "kind": {"type": "choice", "values": ["a", {"name": "b", "depth": {"type": "randint", "upper": 5}}]},
    },
    "objective": {"goal": "maximize", "primary_metric": "accuracy"},
    "early_termination": {"type": "bandit", "evaluation_interval": 1, "slack_factor": 0.1},
    "limits": {"max_total_trials": 10, "max_concurrent_trials": 2, "timeout": 3600},
    "experiment_name": "iris",
    "display_name": "iris",
}


def test_what_can_be_said_anywhere_is_said_in_neutral_fields() -> None:
    data = parse(SWEEP).to_data()
    assert data["trial"] == {
        "source": "src",
        "command": "python main.py --data $CLOUDTUNE_DATA_DATA --lr {lr} --kind {kind} --epochs 3",
        "image": {"azureml": "azureml:own@latest"},
    }
    assert data["space"] == {
        "lr": {"type": "float", "low": 0.001, "high": 1.0, "scale": "log"},
        "kind": {"type": "categorical", "values": ["a", "b"]},
        "depth": {"type": "int", "low": 0, "high": 4, "when": {"kind": "b"}},
    }
    assert data["stopping"] == {"type": "bandit", "slack_factor": 0.1}
    assert data["limits"] == {"trials": 10, "parallel": 2, "time": "1h"}
    assert data["data"] == {"data": {"azureml": "azureml:iris:1"}}
    assert data["compute"] == {"instance": {"azureml": "azureml:cpu"}}


def test_an_imported_sweep_runs_elsewhere_as_well(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    sweep = copy.deepcopy(SWEEP)
    sweep["inputs"]["data"] = {"type": "uri_folder", "path": "./src"}
    plan = api.plan(parse(sweep), "local", project=tmp_path)
    plan.refuse()


def test_a_trial_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    component = {"type": "command", "name": "train", "inputs": {"epochs": {"type": "integer", "default": 3}, "lr": {"type": "number"}, "data": {"type": "uri_folder"}}, "code": "../src", **{name: SWEEP["trial"][name] for name in ("command", "environment")}}  # fmt: skip
    (tmp_path / "parts" / "train.yml").write_text(yaml.safe_dump(component))
    for reference in ("file:parts/train.yml", "./parts/train.yml", {"component": "parts/train.yml"}):
        sweep = {**SWEEP, "trial": reference, "inputs": {"data": SWEEP["inputs"]["data"]}}
        job = parse(sweep, tmp_path)
        made = native_request(job)
        assert made["trial"]["command"] == SWEEP["trial"]["command"]
        assert made["inputs"] == SWEEP["inputs"]
        assert made["trial"]["code"] == "parts/../src"
    with pytest.raises(SpecError, match="cannot be read"):
        parse({**SWEEP, "trial": "file:nothing.yml"}, tmp_path)
    with pytest.raises(SpecError, match="component of a workspace"):
        parse({**SWEEP, "trial": "azureml:train:1"}, tmp_path)


def test_import_and_export_give_the_same_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("here/src", "here/parts"):
        (tmp_path / place).mkdir(parents=True)
    component = {"type": "command", "name": "train", "code": "../src", **{name: SWEEP["trial"][name] for name in ("command", "environment")}}  # fmt: skip
    (tmp_path / "here" / "parts" / "train.yml").write_text(yaml.safe_dump(component))
    (tmp_path / "here" / "sweep.yml").write_text(yaml.safe_dump({**SWEEP, "trial": "file:parts/train.yml"}))
    job = tmp_path / "here" / "job.yaml"
    assert run_app(["import", str(tmp_path / "here" / "sweep.yml"), "--from", "azure", "-o", str(job)]) in (0, None)
    capsys.readouterr()
    assert run_app(["export", str(job), "--to", "azureml"]) in (0, None)
    exported = capsys.readouterr().out
    whole = {"command": component["command"], "code": "parts/../src", "environment": component["environment"]}
    assert yaml.safe_load(exported) == {**SWEEP, "trial": whole}
    (tmp_path / "here" / "exported.yml").write_text(exported)
    ml = pytest.importorskip("azure.ai.ml")
    loaded = ml.load_job(tmp_path / "here" / "exported.yml")
    assert loaded.trial.command == component["command"]
    assert loaded.sampling_algorithm == SWEEP["sampling_algorithm"]


def test_a_pipelines_one_sweep_is_taken() -> None:
    step = {name: value for name, value in SWEEP.items() if name not in ("$schema", "compute", "display_name")}
    pipeline = {"type": "pipeline", "settings": {"default_compute": "azureml:cpu"}, "jobs": {"prepare": {"type": "command"}, "tune": step}}  # fmt: skip
    job = parse(pipeline)
    assert job.name == "tune"
    assert native_request(job)["compute"] == "azureml:cpu"
    with pytest.raises(SpecError, match="has 2 sweeps"):
        parse({**pipeline, "jobs": {"a": step, "b": step}})
    bound = {**step, "inputs": {**step["inputs"], "data": "${{parent.jobs.prepare.outputs.data}}"}}
    with pytest.raises(SpecError, match="comes from another step"):
        parse({**pipeline, "jobs": {"tune": bound}})


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        (lambda s: s.update(type="automl"), "type", "AutoML"),
        (lambda s: s.update(type="command"), "type", "must be 'sweep'"),
        (lambda s: s.pop("objective"), "objective", "must be given"),
        (lambda s: s.update(limit=3), "limit", "did you mean 'limits'"),
        (lambda s: s["search_space"]["lr"].update(min_value="low"), "search_space.lr.min_value", "valid number"),
        (lambda s: s["search_space"].update(lr={"type": "unifrom"}), "search_space.lr", "must have a type"),
        (lambda s: s["limits"].update(timeout="2h"), "limits.timeout", "valid integer"),
        (lambda s: s["trial"].update(command="x ${{inputs.nothing}}"), "trial.command", "names nothing"),
    ],
)
def test_what_is_no_sweep_is_told_with_its_place(change: Any, path: str, says: str) -> None:
    sweep = copy.deepcopy(SWEEP)
    change(sweep)
    with pytest.raises(SpecError) as raised:
        parse(sweep)
    assert [each for each in raised.value.problems if each.path == path and says in each.message], raised.value


# The SDK is the judge

UNIONS = {"environment", "identity", "trial", "distribution", "inputs", "outputs", "services", "type", "$schema"}


def test_the_fields_that_are_written_down_are_those_of_the_sdk() -> None:
    sdk = pytest.importorskip("azure.ai.ml._schema._sweep.sweep_job")
    from azure.ai.ml._schema.assets.environment import AnonymousEnvironmentSchema
    from azure.ai.ml._schema.job.input_output_entry import DataInputSchema, InputLiteralValueSchema, OutputSchema
    from azure.ai.ml._schema.job.job_limits import SweepJobLimitsSchema
    from azure.ai.ml._schema.job.parameterized_command import ParameterizedCommandSchema
    from azure.ai.ml._schema.job_resource_configuration import JobResourceConfigurationSchema
    from azure.ai.ml._schema.queue_settings import QueueSettingsSchema

    def fields(*schemas: Any) -> set[str]:
        return {
            each.data_key or name
            for schema in schemas
            for name, each in schema._declared_fields.items()
            if not each.dump_only
        }

    def own(model: type[schema.Node]) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}

    assert own(schema.SweepJob) == fields(sdk.SweepJobSchema) | {"$schema"}
    assert own(schema.Trial) == fields(ParameterizedCommandSchema)
    assert own(schema.SweepLimits) == fields(SweepJobLimitsSchema)
    assert own(schema.Resources) == fields(JobResourceConfigurationSchema)
    assert own(schema.QueueSettings) == fields(QueueSettingsSchema)
    assert own(schema.Output) == fields(OutputSchema)
    assert own(schema.Input) == fields(DataInputSchema, InputLiteralValueSchema)
    assert own(schema.Environment) >= fields(AnonymousEnvironmentSchema) - {
        "id",
        "latest_version",
        "stage",
        "creation_context",
    }


@given(sweeps())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
def test_the_sdk_takes_every_sweep_and_tells_it_as_we_read_it(sweep: dict[str, Any]) -> None:
    entities = pytest.importorskip("azure.ai.ml.entities._job.sweep.sweep_job")
    sweep = {**sweep, "trial": {**sweep["trial"], "code": "azureml:code:1", "environment": "azureml:own:1"}}
    sweep.pop("properties", None)
    if "inputs" in sweep:
        sweep["inputs"].pop("data", None)
        sweep["trial"]["command"] = "python train.py"
    job = parse(sweep)
    entity = entities.SweepJob._load_from_dict(native_request(job), {"base_path": Path(), "params_override": []}, "")
    body = json.loads(json.dumps(entity._to_rest_object().as_dict(), default=str))
    told = file_of(body)
    assert told["search_space"] == sweep["search_space"]
    assert told["limits"] == sweep["limits"]
    assert told["objective"]["primary_metric"] == "acc"
    assert told["trial"]["command"] == sweep["trial"]["command"]
    policy, given = told.get("early_termination"), sweep.get("early_termination")
    assert (policy or {}).get("type") == (given or {}).get("type")
    space = parse(body).space
    assert {name: space[name] for name in sweep["search_space"]} == {
        name: job.space[name] for name in sweep["search_space"]
    }
