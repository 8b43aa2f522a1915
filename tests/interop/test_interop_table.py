"""One table of cases and formats: whatever an import changes is noted, and what one import can do all do."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.errors import SpecError
from cloudtune.interop import legal_names, with_legal_names
from cloudtune.interop.documents import Document
from cloudtune.interop.formats import Imported, load_format
from cloudtune.interop.wandb import parse
from cloudtune.provider.interface import load_provider
from cloudtune.provider.requests import read_request
from cloudtune.space.parameters import Categorical, Float
from cloudtune.trial import commands

SPACES = {
    "hyperopt": "from hyperopt import hp\nspace = {body}\n",
    "ray-tune": "from ray import tune\nspace = {body}\n",
}
UNIFORM = {"hyperopt": "hp.uniform({name!r}, 0, 1)", "ray-tune": "tune.uniform(0, 1)"}
CHOICE = {"hyperopt": "hp.choice('x', {values})", "ray-tune": "tune.choice({values})"}
NAMES = {
    "learning rate": "learning_rate",
    "--depth": "depth",
    "{x}": "_x_",
    "a=b": "a_b",
    "net.lr": "net.lr",
    "1st": "1st",
    "tab\there": "tab_here",
    "größe": "größe",
}


def imported(origin: str, parameters: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Imported:
    """What an import makes of a uniform parameter of each name."""
    if origin == "optuna":
        optuna = pytest.importorskip("optuna")
        study = optuna.create_study(storage=f"sqlite:///{folder}/study.db", study_name="s")
        study.optimize(lambda trial: sum(trial.suggest_float(name, 0, 1) for name in parameters), n_trials=1)
        return load_format("optuna").read(str(folder / "study.db"))
    if origin in SPACES:
        pytest.importorskip("hyperopt" if origin == "hyperopt" else "ray.tune")
        body = ", ".join(f"{name!r}: {UNIFORM[origin].format(name=name)}" for name in parameters)
        module = f"space_{abs(hash((origin, body)))}"
        (folder / f"{module}.py").write_text(SPACES[origin].format(body="{" + body + "}"), "utf-8")
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        return load_format(origin).read(f"{module}:space")
    if origin == "katib":
        return katib(list(parameters), folder)
    if origin in SERVICES:
        file = folder / "request.json"
        file.write_text(json.dumps(SERVICES[origin](list(parameters))), "utf-8")
        return read_request(load_provider(origin), str(file))
    return sweep({name: {"min": 0.1, "max": 1.0} for name in parameters})


def sweep(parameters: dict[str, Any], **more: Any) -> Imported:
    """What the import makes of a sweep of Weights & Biases."""
    data = {"method": "random", "run_cap": 3, "program": "t.py", "metric": {"name": "loss"}, "parameters": parameters}
    return parse(Document({**data, **more}, "the sweep"))


def katib(names: list[str], folder: Path) -> Imported:
    import yaml

    container = {"name": "c", "image": "i", "command": ["p"]}
    data = {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": "e"},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": "loss"},
            "algorithm": {"algorithmName": "random"},
            "maxTrialCount": 3,
            "parameters": [
                {"name": name, "parameterType": "double", "feasibleSpace": {"min": "0", "max": "1"}} for name in names
            ],
            "trialTemplate": {
                "primaryContainerName": "c",
                "trialParameters": [{"name": f"p{index}", "reference": name} for index, name in enumerate(names)],
                "trialSpec": {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "spec": {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}},
                },
            },
        },
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    return load_format("katib").read(str(folder / "experiment.yaml"))


def sagemaker(names: list[str]) -> dict[str, Any]:
    """A request that searches half of the parameters, and sets the others."""
    ranges = [{"Name": name, "MinValue": "0", "MaxValue": "1"} for name in names[::2]]
    return {
        "HyperParameterTuningJobName": "j",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": {"ContinuousParameterRanges": ranges},
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": dict.fromkeys(names[1::2], "1"),
            "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
            "RoleArn": "arn:aws:iam::123456789012:role/r",
            "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        },
    }


def vertex(names: list[str]) -> dict[str, Any]:
    """A message whose parameters stand below each other's values."""
    parameter: dict[str, Any] = {}
    for name in reversed(names):
        below = [{"parentCategoricalValues": {"values": ["a"]}, "parameterSpec": parameter}] if parameter else []
        parameter = {
            "parameterId": name,
            "categoricalValueSpec": {"values": ["a", "b"]},
            "conditionalParameterSpecs": below,
        }
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "i"}}
    return {
        "displayName": "j",
        "maxTrialCount": 3,
        "parallelTrialCount": 1,
        "studySpec": {"metrics": [{"metricId": "loss", "goal": "MINIMIZE"}], "parameters": [parameter]},
        "trialJobSpec": {"workerPoolSpecs": [pool]},
    }


def azureml(names: list[str]) -> dict[str, Any]:
    """A sweep, half of whose parameters stand in a branch of a choice and with a place in the command."""
    uniform = {"type": "uniform", "min_value": 0, "max_value": 1}
    branch = {"kind": "a", **dict.fromkeys(names[1::2], uniform)}
    places = " ".join(f"${{{{search_space.{name}}}}}" for name in names[::2])
    return {
        "type": "sweep",
        "trial": {"command": f"python t.py {places}", "environment": "azureml:e@latest"},
        "compute": "azureml:cpu",
        "sampling_algorithm": "random",
        "search_space": {**dict.fromkeys(names[::2], uniform), "kind": {"type": "choice", "values": [branch, "b"]}},
        "objective": {"goal": "minimize", "primary_metric": "loss"},
        "limits": {"max_total_trials": 3, "max_concurrent_trials": 1},
    }


SERVICES = {"sagemaker": sagemaker, "vertex": vertex, "azureml": azureml}
REFUSED_BY_AZURE = {"net.lr", "1st", "größe"}
"""Names that a spec may have, and no sweep."""


@pytest.mark.parametrize("origin", ["wandb", "katib", "optuna", "hyperopt", "ray-tune", *SERVICES])
def test_every_import_renames_what_a_spec_cannot_call_so_and_says_it(
    origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {name: ours for name, ours in NAMES.items() if origin != "azureml" or name not in REFUSED_BY_AZURE}
    found = imported(origin, names, tmp_path, monkeypatch)
    assert set(found.job.space) - {"kind"} == set(names.values())
    if origin in SERVICES:
        request = json.dumps(load_provider(origin)({}).to_native(found.job), ensure_ascii=False)
        assert all(name == ours or f'"{name}"' not in request for name, ours in names.items())
    if origin == "azureml":
        assert str(found.job.trial.command).split()[2:] == [f"{{{ours}}}" for ours in list(names.values())[::2]]
    told = "\n".join(map(str, found.notes))
    for theirs, ours in names.items():
        assert (f"is called {ours} here" in told) == (theirs != ours), theirs
    assert TuningJob.from_yaml(found.job.to_yaml()) == found.job


def test_names_that_meet_after_renaming_stay_apart_and_legal_ones_keep_theirs() -> None:
    assert legal_names(["a b", "a_b", "a=b", "-a_b"]) == {"a b": "a_b_", "a_b": "a_b", "a=b": "a_b__", "-a_b": "a_b___"}
    assert {len(name) for name in legal_names(["x" * n for n in range(300, 304)]).values()} == {256}
    kind, lr = Categorical(values=("a", "b")), Float(low=0, high=1, when={"the kind": ("a",)})
    entries, renamed = with_legal_names({"the kind": kind, "lr": lr})
    assert entries == {"the_kind": kind, "lr": Float(low=0, high=1, when={"the_kind": ("a",)})}
    assert renamed == {"the kind": "the_kind"}


# Weights & Biases: what a program is given


FLAGS = {"depth": {"value": 2}, "weighted": {"values": [True, False]}, "on": {"value": True}, "off": {"value": False}}


@pytest.mark.parametrize("weighted", [True, False])
def test_flags_are_there_alone_or_not_at_all(weighted: bool) -> None:
    found = sweep(FLAGS, command=["echo", "${args_no_boolean_flags}"])
    assert "booleans (weighted, on, off) stand as --name alone" in "\n".join(map(str, found.notes))
    command = found.job.trial.command
    assert command is not None
    words = commands.place(command, {"depth": 2, "weighted": weighted, "on": True, "off": False}, list(found.job.space))
    import subprocess

    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert said == ["--depth=2", *(["--weighted"] if weighted else []), "--on"]


def test_a_flag_that_is_also_an_option_is_refused() -> None:
    with pytest.raises(SpecError, match="x is true or false and other values, too"):
        sweep({"x": {"values": [True, "auto"]}, "y": {"value": True}}, command=["p", "${args_no_boolean_flags}"])


def test_a_renamed_parameter_keeps_its_option() -> None:
    found = sweep({"learning rate": {"min": 0.1, "max": 1.0}}, command=["p", "${args}", "${args_json}"])
    assert found.job.trial.command == ("p", "--learning rate={learning_rate}", '{"learning rate": {learning_rate}}')


@pytest.mark.parametrize(("values", "ours", "note"), [
    (["1e-3", 0.01], (0.001, 0.01), "parameters.x.values[0]: is a text to Weights & Biases; write 0.001 there"),
    (["1e-30", 1], (1e-30, 1), "write 1.0e-30 there"),
    (["1e-3", "adam"], ("1e-3", "adam"), "parameters.x.values[0]: is the text '1e-3', as it is to Weights & Biases"),
    (["10", "20"], ("10", "20"), ""),
    (["1e999", 1], ("1e999", 1), ""),
    ([True, "1e-3"], (True, "1e-3"), "is the text '1e-3'"),
    ([0.001, "1e-3"], (0.001,), "are not equally likely there"),
    ([None, 1], (None, 1), ""),
    ([[1, 2], [3]], ("[1, 2]", "[3]"), "parameters.x.values[0]: is the text '[1, 2]' here"),
])  # fmt: skip
def test_values_are_what_they_say_or_a_note_tells(values: list[Any], ours: tuple[Any, ...], note: str) -> None:
    found = sweep({"x": {"values": values}})
    parameter = found.job.space["x"]
    assert isinstance(parameter, Categorical)
    assert parameter.values == ours
    told = "\n".join(str(each) for each in found.notes if each.path.startswith("parameters"))
    assert (note in told) if note else not told


def test_goals_and_methods_may_be_in_capitals() -> None:
    found = sweep({"x": {"min": 1, "max": 1}}, method="Bayes", metric={"name": "acc", "goal": "MAXIMIZE"})
    assert (found.job.objective[0].goal, found.job.strategy.type) == ("maximize", "bayesian")


# HyperOpt: choices whose options are no values


@pytest.mark.parametrize(("options", "note"), [
    ("[0.0, hp.loguniform('positive', -7, 4)]", "1 is the draw 'positive'"),
    ("[(32,), (64, 64)]", "0 is a list; 1 is a list"),
    ("[1, hp.uniform('u', 0, 1)]", "0 is 1; 1 is the draw 'u'"),
    ("['a', {'lr': hp.uniform('u', 0, 1)}, {'m': 1}]", "1 is a dict; 2 is a dict"),
    ("['a', hp.choice('inner', ['b', hp.normal('n', 0, 1)])]", "1 is the draw 'inner'"),
])  # fmt: skip
def test_an_option_that_becomes_a_number_is_told(
    options: str, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hyperopt")
    module = f"options_{abs(hash(options))}"
    (tmp_path / f"{module}.py").write_text(
        f"from hyperopt import hp\nspace = {{'x': hp.choice('x', {options})}}\n", "utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run_app(["import", f"{module}:space", "--from", "hyperopt", "-o", "job.yaml"]) == 0
    err = capsys.readouterr().err
    assert f"note: x: its options are called by their numbers where they are no plain values: {note}" in err
    assert note.split(";", maxsplit=1)[0] in (tmp_path / "job.yaml").read_text("utf-8").replace("\n#  ", "")


# Azure: what a trial's inputs are


COMPONENT = """type: command
inputs:
  lr: {type: number, default: 0.5}
  epochs: {type: integer, default: 3}
  data: {type: uri_file}
  hint: {type: string, optional: true}
outputs:
  model: {type: uri_folder}
code: ./src
environment: azureml:env@latest
command: python t.py --lr ${{inputs.lr}} --epochs ${{ inputs.epochs }} --data ${{inputs.data}} $[[--hint ${{inputs.hint}}]] --out ${{outputs.model}}
"""
PIPELINE = """type: pipeline
inputs:
  data: {type: uri_file, path: "https://example.org/iris.csv"}
jobs:
  tune:
    type: sweep
    inputs: {data: "${{parent.inputs.data}}"}
    trial: ./train.yml
    sampling_algorithm: random
    search_space: {lr: {type: uniform, min_value: 0.1, max_value: 0.9}}
    objective: {goal: minimize, primary_metric: loss}
    limits: {max_total_trials: 4}
"""


def test_inputs_of_a_component_come_from_the_search_space_the_pipeline_or_their_defaults(tmp_path: Path) -> None:
    pytest.importorskip("cloudtune_azureml")
    from cloudtune.provider.requests import read_request
    from cloudtune_azureml.provider import AzureMlProvider

    (tmp_path / "train.yml").write_text(COMPONENT, "utf-8")
    (tmp_path / "pipeline.yml").write_text(PIPELINE, "utf-8")
    found = read_request(AzureMlProvider, str(tmp_path / "pipeline.yml"))
    assert (
        found.job.trial.command
        == "python t.py --lr {lr} --epochs 3 --data $CLOUDTUNE_DATA_DATA  --out $CLOUDTUNE_OUTPUT_DIR"
    )
    own = found.job.azureml["trial"]
    assert isinstance(own, dict)
    assert "--lr ${{search_space.lr}} --epochs ${{ inputs.epochs }}" in str(own["command"])
    assert "settings of azureml alone: " in str(found.notes[0])
    (tmp_path / "pipeline.yml").write_text(PIPELINE.replace("parent.inputs.data", "parent.jobs.a.outputs.b"), "utf-8")
    with pytest.raises(SpecError, match=r"line 7, column 20: jobs\.tune\.inputs\.data: comes from another step"):
        read_request(AzureMlProvider, str(tmp_path / "pipeline.yml"))
