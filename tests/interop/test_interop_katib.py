"""Katib's experiments, to jobs and back: nothing is lost, and Katib's own model takes what is written."""

import json
import math
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from late import LATE

from cloudtune import TuningJob, trial
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, SpecError, UnsupportedError
from cloudtune.interop.documents import Document
from cloudtune.interop.formats import Imported, load_format
from cloudtune.interop.katib.metrics import DEFAULT, filters_of, regex_of
from cloudtune.interop.katib.model import ParameterSpec
from cloudtune.interop.katib.reading import parse
from cloudtune.interop.katib.spaces import entry_of
from cloudtune.interop.katib.templates import words_of
from cloudtune.interop.katib.writing import plan
from cloudtune.planning.plan import Support, leaves
from cloudtune.space.axes import axis_of
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter
from cloudtune.spec.job import Compute, Objective, TrialSpec
from cloudtune.spec.stopping import Median
from cloudtune.spec.strategies import Evolutionary, Hyperband, HyperoptTpe, OptunaSampler, Random
from cloudtune.testing.specs import TEXTS, jobs, parameters
from cloudtune.trial import commands

if LATE:
    from scipy import stats

    katib = pytest.importorskip("kubeflow_katib_api.models")


def experiment(**changes: Any) -> dict[str, Any]:
    """A random search for two parameters; changes are members of its spec, None takes one away."""
    spec = {
        "objective": {"type": "minimize", "goal": 0.001, "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "parallelTrialCount": 3,
        "maxTrialCount": 12,
        "maxFailedTrialCount": 3,
        "parameters": [double("lr", "0.01", "0.05"), double("momentum", "0.5", "0.9")],
        "trialTemplate": template(["python3", "/opt/mnist.py", "--epochs=1", "--lr=${trialParameters.learningRate}", "--momentum=${trialParameters.momentum}"]),
    }  # fmt: skip
    given = {name: part for name, part in {**spec, **changes}.items() if part is not None}
    return {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": {"name": "mnist", "namespace": "kubeflow"}, "spec": given}  # fmt: skip


def double(name: str, low: str, high: str, **more: str) -> dict[str, Any]:
    return {"name": name, "parameterType": "double", "feasibleSpace": {"min": low, "max": high, **more}}


def template(command: list[str], **more: Any) -> dict[str, Any]:
    container = {"name": "training-container", "image": "ghcr.io/me/mnist:1", "command": command}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}}}  # fmt: skip
    named = [{"name": "learningRate", "reference": "lr", "description": "of the optimizer"}, {"name": "momentum", "reference": "momentum"}]  # fmt: skip
    return {"primaryContainerName": "training-container", "trialParameters": named, "trialSpec": job, **more}


def with_container(**members: Any) -> dict[str, Any]:
    """An experiment whose container has these members; None takes one away."""
    found = experiment()
    containers = found["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    containers[0] = {name: part for name, part in {**containers[0], **members}.items() if part is not None}
    return found


def pytorch() -> dict[str, Any]:
    found = experiment()
    trial_template = found["spec"]["trialTemplate"]
    pod = trial_template["trialSpec"]["spec"]["template"]
    pod["spec"]["containers"][0]["name"] = trial_template["primaryContainerName"] = "pytorch"
    replicas = {kind: {"replicas": count, "restartPolicy": "OnFailure", "template": pod} for kind, count in (("Master", 1), ("Worker", 2))}  # fmt: skip
    trial_template["trialSpec"] = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "spec": {"pytorchReplicaSpecs": replicas}}  # fmt: skip
    return found


def train_job() -> dict[str, Any]:
    found = experiment()
    words = found["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]["command"]
    trainer = {"numNodes": 2, "image": "me/mnist:1", "command": words, "resourcesPerNode": {"limits": {"cpu": "2"}}}
    found["spec"]["trialTemplate"]["trialSpec"] = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "spec": {"runtimeRef": {"name": "torch"}, "trainer": trainer}}  # fmt: skip
    found["spec"]["trialTemplate"]["primaryContainerName"] = "node"
    return found


def config_map() -> dict[str, Any]:
    source = {"configMapName": "templates", "configMapNamespace": "kubeflow", "templatePath": "mnist.yaml"}
    return experiment(trialTemplate={**template([]), "trialSpec": None, "configMap": source, "successCondition": "status.succeeded"})  # fmt: skip


SETTINGS = [{"name": "resource_name", "value": "epochs"}, {"name": "eta", "value": "3"}, {"name": "r_l", "value": "9"}]
METADATA = [{"name": "trialName", "reference": "${trialSpec.Name}"}, {"name": "label", "reference": "${trialSpec.Labels[team]}"}]  # fmt: skip
FILTER = r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"

SAMPLES = {
    "random": experiment(),
    "nothing but what must be": experiment(objective={"type": "maximize", "objectiveMetricName": "f1"}, parallelTrialCount=None, maxFailedTrialCount=None),
    "no end": experiment(maxTrialCount=None),
    "grid": experiment(algorithm={"algorithmName": "grid"}, parameters=[double("lr", "0.01", "0.05", step="0.005"), double("momentum", "0.5", "0.9", step="0.1")]),
    "cmaes": experiment(algorithm={"algorithmName": "cmaes", "algorithmSettings": [{"name": "restart_strategy", "value": "ipop"}, {"name": "random_state", "value": "7"}]}),
    "bayesian": experiment(algorithm={"algorithmName": "bayesianoptimization", "algorithmSettings": [{"name": "n_initial_points", "value": "5"}, {"name": "acq_func", "value": "EI"}]}),
    "tpe": experiment(algorithm={"algorithmName": "tpe", "algorithmSettings": [{"name": "gamma", "value": "0.3"}, {"name": "prior_weight", "value": "1.1"}]}),
    "multivariate-tpe": experiment(algorithm={"algorithmName": "multivariate-tpe", "algorithmSettings": [{"name": "n_startup_trials", "value": "5"}]}),
    "sobol": experiment(algorithm={"algorithmName": "sobol"}),
    "hyperband": experiment(algorithm={"algorithmName": "hyperband", "algorithmSettings": SETTINGS}, parameters=[double("lr", "0.01", "0.05"), double("momentum", "0.5", "0.9"), {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "9"}}]),
    "pbt": experiment(algorithm={"algorithmName": "pbt", "algorithmSettings": [{"name": "n_population", "value": "40"}, {"name": "truncation_threshold", "value": "0.2"}]}, resumePolicy="FromVolume", maxFailedTrialCount=30),
    "a service of one's own": experiment(algorithm={"algorithmName": "mine", "algorithmSettings": [{"name": "x", "value": "1"}]}),
    "median stopping": experiment(earlyStopping={"algorithmName": "medianstop", "algorithmSettings": [{"name": "min_trials_required", "value": "1"}, {"name": "start_step", "value": "2"}]}),
    "median stopping by default": experiment(earlyStopping={"algorithmName": "medianstop"}),
    "push": experiment(metricsCollectorSpec={"collector": {"kind": "Push"}}),
    "file": experiment(metricsCollectorSpec={"collector": {"kind": "File"}, "source": {"filter": {"metricsFormat": [FILTER]}, "fileSystemPath": {"kind": "File", "path": "/log"}}}),
    "JSON file": experiment(metricsCollectorSpec={"collector": {"kind": "File"}, "source": {"fileSystemPath": {"kind": "File", "path": "/log", "format": "JSON"}}}),
    "events": experiment(metricsCollectorSpec={"collector": {"kind": "TensorFlowEvent"}, "source": {"fileSystemPath": {"kind": "Directory", "path": "/log"}}}),
    "prometheus": experiment(metricsCollectorSpec={"collector": {"kind": "PrometheusMetric"}, "source": {"httpGet": {"port": 8080, "path": "/metrics"}}}),
    "own collector": experiment(metricsCollectorSpec={"collector": {"kind": "Custom", "customCollector": {"name": "c", "image": "c:1"}}}),
    "further metrics": experiment(objective={"type": "maximize", "objectiveMetricName": "Validation-accuracy", "additionalMetricNames": ["Train-accuracy"], "metricStrategies": [{"name": "Validation-accuracy", "value": "latest"}, {"name": "Train-accuracy", "value": "max"}]}),
    "the worst value": experiment(objective={"type": "maximize", "objectiveMetricName": "a", "metricStrategies": [{"name": "a", "value": "min"}]}),
    "distributions": experiment(parameters=[double("lr", "0.001", "1", distribution="logUniform"), double("momentum", "0.01", "0.05", step="0.01", distribution="normal"), {"name": "batch", "parameterType": "int", "feasibleSpace": {"min": "32", "max": "64", "distribution": "logNormal"}}, {"name": "depth", "parameterType": "int", "feasibleSpace": {"min": "0", "max": "8", "distribution": "logUniform"}}]),
    "lists": experiment(parameters=[double("lr", "1e-2", "0.50"), double("momentum", "0", "1"), {"name": "opt", "parameterType": "categorical", "feasibleSpace": {"list": ["sgd", "32", "true", ""]}}, {"name": "size", "parameterType": "discrete", "feasibleSpace": {"list": ["8", "0.5", "16"]}}, {"name": "odd", "parameterType": "discrete", "feasibleSpace": {"list": ["8", "eight"]}}]),
    "names that a job cannot have": experiment(parameters=[double("--lr", "0.01", "0.05"), double("a b", "0", "1")], trialTemplate=template(["p", "--lr=${trialParameters.x}", "${trialParameters.y}"], trialParameters=[{"name": "x", "reference": "--lr"}, {"name": "y", "reference": "a b"}])),
    "names swapped": experiment(trialTemplate=template(["p", "${trialParameters.lr}", "${trialParameters.momentum}"], trialParameters=[{"name": "lr", "reference": "momentum"}, {"name": "momentum", "reference": "lr"}])),
    "metadata": experiment(trialTemplate=template(["p", "${trialParameters.learningRate}", "${trialParameters.momentum}", "--out=/data/${trialParameters.trialName}", "${trialParameters.label}"], trialParameters=[*template([])["trialParameters"], *METADATA])),
    "command and arguments": with_container(args=["--more", "{lr}"]),
    "an image's own program": with_container(command=None),
    "arguments alone": with_container(command=None, args=["--lr=${trialParameters.learningRate}", "--m", "${trialParameters.momentum}"]),
    "environment": with_container(env=[{"name": "EPOCHS", "value": "3"}, {"name": "RATE", "value": "${trialParameters.learningRate}"}, {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "B", "value": "x"}]),
    "resources": with_container(resources={"limits": {"cpu": "500m", "memory": "4Gi", "nvidia.com/gpu": 2}, "requests": {"cpu": "250m"}}, volumeMounts=[{"name": "data", "mountPath": "/data"}]),
    "labels": {**experiment(), "metadata": {"generateName": "mnist-", "labels": {"team": "ads"}, "annotations": {"a": "b"}}},
    "pytorch": pytorch(),
    "train job": train_job(),
    "config map": config_map(),
    "workflow": experiment(trialTemplate=template([], trialSpec={"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {"steps": ["${trialParameters.learningRate}", "${trialParameters.momentum}"]}})),
    "retained": experiment(trialTemplate=template(["p", "${trialParameters.learningRate}", "${trialParameters.momentum}"], retain=True, primaryPodLabels={"a": "b"}, failureCondition="status.failed")),
}  # fmt: skip


def read(data: dict[str, Any]) -> Imported:
    return parse(Document(data, "the experiment"))


def numbers(value: Any) -> Any:
    """Data whose texts of numbers are numbers, without nulls."""
    if isinstance(value, dict):
        return {key: numbers(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [numbers(part) for part in value]
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def refused_by_katib(data: dict[str, Any]) -> bool:
    """Whether the model of Katib's own API takes less than the whole."""
    whole: bool = katib.V1beta1Experiment.from_dict(data).to_dict() != data
    return whole


@pytest.mark.parametrize("name", SAMPLES)
def test_exporting_what_was_imported_gives_the_same_experiment(name: str) -> None:
    imported = read(json.loads(json.dumps(SAMPLES[name])))
    job = TuningJob.from_yaml(imported.job.to_yaml())
    assert job == imported.job
    exported: Any = load_format("katib").write(job).data
    assert numbers(exported) == numbers(SAMPLES[name])
    assert not refused_by_katib(exported)


def job_of(name: str) -> TuningJob:
    return read(SAMPLES[name]).job


def notes_of(name: str) -> str:
    return "\n".join(map(str, read(SAMPLES[name]).notes))


def test_an_experiment_becomes_neutral_as_far_as_it_can() -> None:
    assert job_of("random") == TuningJob.from_data(
        {
            "name": "mnist",
            "trial": {"command": ["python3", "/opt/mnist.py", "--epochs=1", "--lr={lr}", "--momentum={momentum}"], "image": "ghcr.io/me/mnist:1"},
            "objective": {"metric": "loss", "goal": "minimize", "measurement": "best"},
            "space": {"lr": {"type": "float", "low": 0.01, "high": 0.05}, "momentum": {"type": "float", "low": 0.5, "high": 0.9}},
            "limits": {"trials": 12, "parallel": 3, "failed": 3, "target": 0.001},
            "native": {"katib": job_of("random").native["katib"]},
        }
    )  # fmt: skip


@pytest.mark.parametrize(("name", "path", "value"), [
    ("grid", "strategy", {"type": "grid"}),
    ("cmaes", "strategy", {"type": "evolutionary", "seed": 7}),
    ("bayesian", "strategy", {"type": "bayesian", "startup": 5}),
    ("tpe", "strategy", {"type": "hyperopt", "gamma": 0.3}),
    ("multivariate-tpe", "strategy", {"type": "optuna", "options": {"multivariate": True, "constant_liar": True, "n_startup_trials": 5}}),
    ("sobol", "strategy", {"type": "sobol"}),
    ("hyperband", "strategy", {"type": "hyperband", "max_resource": 9}),
    ("hyperband", "space.epochs", {"type": "constant", "value": 9}),
    ("a service of one's own", "strategy", {"type": "bayesian"}),
    ("median stopping", "stopping", {"type": "median", "grace": 1}),
    ("median stopping by default", "stopping", {"type": "median", "grace": 3}),
    ("no end", "limits.trials", 100),
    ("nothing but what must be", "limits", {"trials": 12, "parallel": 3}),
    ("further metrics", "objective", {"metric": "Validation-accuracy", "goal": "maximize"}),
    ("distributions", "space.lr", {"type": "float", "low": 0.001, "high": 1.0, "scale": "log"}),
    ("distributions", "space.depth", {"type": "int", "low": 1, "high": 8, "scale": "log"}),
    ("lists", "space.lr", {"type": "float", "low": 0.01, "high": 0.5}),
    ("lists", "space.opt", {"type": "categorical", "values": ["sgd", "32", "true", ""]}),
    ("lists", "space.size", {"type": "ordinal", "values": [0.5, 8, 16]}),
    ("lists", "space.odd", {"type": "categorical", "values": ["8", "eight"]}),
    ("names that a job cannot have", "trial.command", ["p", "--lr={lr}", "{a_b}"]),
    ("names swapped", "trial.command", ["p", "{momentum}", "{lr}"]),
    ("metadata", "trial.command", ["p", "{lr}", "{momentum}", "--out=/data/${trialParameters.trialName}", "${trialParameters.label}"]),
    ("command and arguments", "trial.command", ["python3", "/opt/mnist.py", "--epochs=1", "--lr={lr}", "--momentum={momentum}", "--more", "{{lr}}"]),
    ("arguments alone", "trial", {"image": "ghcr.io/me/mnist:1"}),
    ("environment", "trial.environment", {"EPOCHS": "3", "B": "x"}),
    ("resources", "compute", {"accelerators": {"type": "nvidia.com/gpu", "count": 2}, "cpus": 0.5, "memory": "4GiB"}),
    ("labels", "tags", {"team": "ads"}),
    ("labels", "name", "mnist"),
    ("pytorch", "compute", {"count": 3}),
    ("train job", "compute", {"count": 2}),
    ("config map", "trial", {"image": {"katib": "configmap:kubeflow/templates"}}),
    ("file", "objective.regex", r"{metricName: loss, metricValue: ((-?\d+)(\.\d+)?)}"),
])  # fmt: skip
def test_each_part_becomes_what_it_means(name: str, path: str, value: Any) -> None:
    found: Any = job_of(name).to_data()
    for step in path.split("."):
        found = found[step]
    assert found == value


@pytest.mark.parametrize(("name", "said"), [
    ("no end", "spec.maxTrialCount: is missing"),
    ("random", "spec.trialTemplate.trialSpec.spec.backoffLimit: is missing"),
    ("cmaes", "spec.algorithm.algorithmSettings[0]: restart_strategy: ipop is for Katib alone"),
    ("hyperband", "in the parameter 'epochs'"),
    ("pbt", "spec.algorithm: trials of population based training"),
    ("pbt", "spec.maxFailedTrialCount: 30 is above maxTrialCount"),
    ("pbt", "spec.resumePolicy"),
    ("a service of one's own", "spec.algorithm: Katib's mine has no counterpart"),
    ("median stopping", "min_trials_required: here 3"),
    ("push", "spec.metricsCollectorSpec: the trial pushes metrics"),
    ("events", "must print loss=number"),
    ("the worst value", "spec.objective.metricStrategies: takes the min"),
    ("distributions", "spec.parameters[1].feasibleSpace.distribution: Katib's bounds say mean ± 3"),
    ("distributions", "spec.parameters[3].feasibleSpace.min: a logarithm needs numbers above 0"),
    ("lists", "spec.parameters[4].feasibleSpace.list: holds more than different numbers"),
    ("names that a job cannot have", "spec.parameters[0].name: is called lr here"),
    ("metadata", "${trialParameters.trialName} in the command"),
    ("command and arguments", "command and args are one command here"),
    ("arguments alone", "its arguments are known to Katib alone"),
    ("environment", "environment variables for Katib alone: RATE, TOKEN"),
    ("resources", "kept for Katib alone"),
    ("pytorch", "the 3 machines find each other as a PyTorchJob has it"),
    ("config map", "spec.trialTemplate.configMap: holds the program"),
    ("workflow", "the program stands in a Workflow"),
    ("retained", "spec.trialTemplate.retain"),
])  # fmt: skip
def test_what_means_something_else_here_is_told_with_its_place(name: str, said: str) -> None:
    assert said in notes_of(name)


def test_what_only_the_cluster_says_is_left_out() -> None:
    live = json.loads(json.dumps(SAMPLES["random"]))
    live["metadata"] |= {"uid": "1", "resourceVersion": "2", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}  # fmt: skip
    live["status"] = {"trials": 3}
    imported = parse(Document(live, "live"))
    assert imported.job == job_of("random")
    assert any(note.path == "status" for note in imported.notes)


ANYTHING = [None, {}, [], "x", "0.5", 3, -1, True, {"name": "a"}, [{"name": "a"}], ["a"], [None], {"containers": []}, [{"name": "training-container"}], float("nan"), "1e400"]  # fmt: skip


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, part in parts for path in paths(part, (*at, key)))]


def damaged(data: Any, source: random.Random) -> Any:
    """Data in which one or two parts are missing, or something else."""
    data = json.loads(json.dumps(data))
    for _ in range(source.randint(1, 2)):
        *parents, last = source.choice(paths(data)[1:] or [("katib",)])
        part = data
        for step in parents:
            part = part[step]
        if source.random() < 0.3 and part:
            del part[last]
        else:
            part[last] = json.loads(json.dumps(source.choice(ANYTHING)))
    return data


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_experiment_is_refused_in_words_or_comes_back_as_it_went(seed: int) -> None:
    source = random.Random(seed)
    refused = 0
    for name in [*SAMPLES] * 3:
        try:
            read(damaged(SAMPLES[name], source))  # which compares what is exported
        except SpecError:
            refused += 1
    assert 5 < refused < 3 * len(SAMPLES) - 5


def test_damaged_native_settings_are_refused_in_words() -> None:
    source = random.Random(1)
    refused = 0
    for name in SAMPLES:
        job = job_of(name)
        native = damaged({"katib": {"names": {}, **job.native.get("katib", {})}}, source)
        if isinstance(native.get("katib", {}), dict):
            try:
                load_format("katib").write(job.model_copy(update={"native": native}))
            except UnsupportedError:
                refused += 1
    assert refused > 5


@pytest.mark.parametrize(("native", "path"), [
    ({"spec": 3}, "native.katib.spec"),
    ({"spec": {"parallelTrialCount": "many"}}, "native.katib.spec.parallelTrialCount"),
    ({"spec": {"trialTemplate": {"primaryContainerName": None}}}, "native.katib.spec.trialTemplate.primaryContainerName"),
    ({"spec": {"trialTemplate": {"trialParameters": [{"name": "a", "reference": "${trialSpec.Nix}"}]}}}, "native.katib.spec.trialTemplate.trialParameters[2].reference"),
    ({"spec": {"nix": 1}}, "native.katib.spec.nix"),
])  # fmt: skip
def test_native_settings_that_katib_would_refuse_are_refused_here(native: dict[str, Any], path: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load_format("katib").write(tiny(native={"katib": native}))
    assert [problem.path for problem in caught.value.problems] == [path]
    assert caught.value.problems[0].message.startswith("Katib refuses it: ")


# What distributions mean


@pytest.mark.parametrize(("kind", "low", "high", "law"), [
    ("uniform", "0.5", "3", lambda: stats.uniform(0.5, 2.5)),
    ("logUniform", "0.001", "10", lambda: stats.loguniform(0.001, 10)),
    ("normal", "0.01", "0.05", lambda: stats.norm(0.03, 0.04 / 6)),
    ("logNormal", "0.01", "10", lambda: stats.lognorm(s=(math.log(10) - math.log(0.01)) / 6, scale=math.sqrt(0.1))),
])  # fmt: skip
def test_a_distribution_is_the_one_that_katibs_hyperopt_service_draws_from(
    kind: str, low: str, high: str, law: Any
) -> None:
    parsed = ParameterSpec.model_validate(double("x", low, high, distribution=kind))
    job = TuningJob.from_data({**job_of("random").to_data(), "native": {}, "space": {"x": entry_of(parsed)}})
    axis = job.search_space().dimensions[0].axis
    positions = np.linspace(0.02, 0.98, 25)
    assert [axis.at(position) for position in positions] == pytest.approx(law().ppf(positions).tolist(), rel=1e-5)


def test_a_normal_whole_number_is_a_multiple_of_one() -> None:
    batch = job_of("distributions").space["batch"]
    assert isinstance(batch, LogNormal)
    assert batch.step == 1
    assert float(axis_of(batch).at(0.5)) == pytest.approx(math.sqrt(32 * 64), abs=1)  # type: ignore[arg-type]


# Metrics

NAMES = st.sampled_from(["loss", "val/accuracy", "Validation-accuracy", "f1.macro", "a b", "x;y", "größe", "auc@5"])


def found_by_katib(filters: list[str], line: str, name: str) -> list[str]:
    """What Katib's collector finds: all matches of each filter whose first group is the name."""
    matches = (match for each in ";".join(filters).split(";") for match in re.finditer(each, line))
    return [match[2].strip() for match in matches if match[1].strip() == name]


@given(name=NAMES, value=st.floats(allow_nan=False, allow_infinity=False), sign=st.sampled_from(["=", ": ", " = "]))
@settings(max_examples=examples(50))
def test_what_a_trial_prints_reaches_katib(name: str, value: float, sign: str) -> None:
    filters, lost = filters_of(Objective(metric=name, goal="minimize"), {})
    assert not lost
    assert found_by_katib(filters, f"epoch 3 {name}{sign}{value!r} val_{name}=7", name) == [repr(value)]


def test_what_the_trial_helper_reports_reaches_katibs_own_filter(capsys: pytest.CaptureFixture[str]) -> None:
    trial.enter(trial.Context({}, sink=trial._print))
    try:
        trial.report({"Validation-accuracy": 0.5, "loss": 1e-07}, step=3)
    finally:
        trial.leave()
    line = capsys.readouterr().out
    assert found_by_katib([DEFAULT], line, "Validation-accuracy") == ["0.5"]
    assert found_by_katib([DEFAULT], line, "loss") == ["1e-07"]


@pytest.mark.parametrize(("regex", "name", "filters"), [
    (r"loss=([0-9.]+)", "loss", [r"(loss)=([0-9.]+)"]),
    (r"step \d+ val/acc: (\S+)", "val/acc", [r"step \d+ (val/acc): (\S+)"]),
    (r"Test set: ([0-9.]+)", "loss", []),
    (r"(?<=x)loss=([0-9.]+)", "loss", []),
    (r"(step) loss=([0-9.]+)", "loss", []),
])  # fmt: skip
def test_an_expression_of_a_job_becomes_a_filter_if_it_names_the_metric(
    regex: str, name: str, filters: list[str]
) -> None:
    objective = Objective(metric=name, goal="minimize", regex=regex)
    assert filters_of(objective, {}) == (filters, [] if filters else [name])
    if filters:
        assert regex_of(filters, name) == regex


@given(name=NAMES, other=NAMES, value=st.floats(0, 1e6))
def test_a_filter_of_katib_becomes_an_expression_that_finds_one_metric_alone(
    name: str, other: str, value: float
) -> None:
    regex = regex_of([r"([^=]+)=(\S+)"], name)
    assert regex is not None
    assert re.findall(regex, f"{name}={value!r}") == [repr(value)]
    default = regex_of([DEFAULT], "loss")
    assert default is not None
    assert re.search(default, "val_loss=3") is None
    assert re.search(default, "loss = 3.5").group(1) == "3.5"  # type: ignore[union-attr]


# Commands


@pytest.mark.parametrize("command", [
    "python train.py --lr {x} 'a b' \"c\"",
    "python train.py && echo {x} done > /dev/null; echo {{x}} ${HOME:+y}",
    "FOO={x} printenv FOO",
    "echo {x}",
])  # fmt: skip
def test_a_line_of_a_shell_does_in_a_container_what_it_does_elsewhere(command: str) -> None:
    words = words_of(command, ["x", "y"], {}, {"y": ["b"]})
    ours = [re.sub("\0(.)\0", lambda place: {"x": "0.5", "y": "b"}[place[1]], word) for word in words]
    theirs = commands.place(command, {"x": 0.5, "y": "b"}, ["x", "y"])
    shown = [subprocess.run(["sh", "-c", 'printf "%s|" "$@"', "-", *run], capture_output=True, text=True).stdout for run in (ours, theirs)]  # fmt: skip
    if ours[0] == "/bin/sh":
        assert shown[0].replace("--y=b", "--y b") == shown[1].replace("exec ", "")
    else:
        line = theirs[2].removeprefix("exec ").replace("--y b", "--y=b")
        split = subprocess.run(["sh", "-c", f'printf "%s|" {line}'], capture_output=True, text=True).stdout
        assert shown[0] == split


def test_a_value_that_a_shell_would_take_apart_is_refused() -> None:
    job = job_of("random").model_copy(update={"trial": TrialSpec(command="echo {kind}; true", image="i"), "space": {"kind": Categorical(values=("a b", "c"))}})  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"trial.command: a shell would take 'a b', a value of 'kind', apart"):
        load_format("katib").write(job)


# From a job


def tiny(**fields: Any) -> TuningJob:
    given = {
        "name": "tiny",
        "trial": {"command": ["train"], "image": "i:1"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": Float(low=0, high=1), "y": Float(low=0, high=1)},
        "limits": {"trials": 4},
    }
    return TuningJob.from_data({**given, **fields})


@pytest.mark.parametrize(("fields", "path", "hint"), [
    ({"space": {"k": Categorical(values=("a", "b")), "x": Float(low=0, high=1, when={"k": ("a",)})}}, "space.x.when", "a job of its own"),
    ({"space": {"k": Categorical(values=("a", "b")), "x": (Float(low=0, high=1, when={"k": ("a",)}), Float(low=2, high=3, when={"k": ("b",)}))}}, "space.x", "conditions"),
    ({"space": {"k": Categorical(values=(1, "1"))}}, "space.k.values", "keep one"),
    ({"space": {"k": Constant(value=1)}}, "space", "varies"),
    ({"space": {"x": Normal(mean=0, std=1)}, "strategy": {"type": "bayesian"}}, "space.x", "random or hyperopt"),
    ({"objective": [{"metric": "a", "goal": "minimize"}, {"metric": "b", "goal": "minimize"}]}, "objective", "one objective"),
    ({"objective": {"metric": "a", "goal": "minimize", "regex": r"score (\d+)"}}, "objective[0].regex", "print name=number"),
    ({"metrics": {"b": r"score (\d+)"}}, "metrics.b", "print name=number"),
    ({"trial": {"function": "train:main", "image": "i"}}, "trial.function", "trial.command"),
    ({"trial": {"command": "train"}}, "trial.image", "give trial.image"),
    ({"trial": {"command": "train", "image": {"sagemaker": "i"}}}, "trial.image", "katib: IMAGE"),
    ({"strategy": {"type": "hyperband", "max_resource": 9}}, "strategy.type", "resource_name"),
    ({"strategy": {"type": "optuna", "sampler": "NSGAIISampler"}}, "strategy.sampler", "NSGAIISampler"),
    ({"strategy": {"type": "evolutionary"}, "space": {"x": Float(low=0, high=1)}}, "strategy.type", "two numbers"),
    ({"strategy": {"type": "grid", "levels": 3}, "space": {"x": Float(low=1, high=2, scale="log")}}, "space.x.step", "give the parameter a step"),
    ({"stopping": {"type": "bandit", "slack_factor": 0.1}}, "stopping", "use median"),
    ({"warm_start": ["run"]}, "warm_start", "take warm_start away"),
    ({"mode": "driven"}, "mode", "take mode: driven away"),
    ({"compute": {"count": 2}}, "compute.count", "PyTorchJob"),
    ({"network": {"isolated": True}}, "network.isolated", "NetworkPolicy"),
])  # fmt: skip
def test_what_katib_cannot_do_is_refused_with_its_place_and_what_to_do(
    fields: dict[str, Any], path: str, hint: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load_format("katib").write(tiny(**fields))
    assert [problem.path for problem in caught.value.problems] == [path]
    assert hint in caught.value.problems[0].message


@pytest.mark.parametrize(("fields", "path"), [
    ({"limits": {"trials": 4, "time": "1h"}}, "limits.time"),
    ({"limits": {"trials": 4, "no_improvement": 3}}, "limits.no_improvement"),
    ({"trial": {"command": ["a"], "image": "i", "source": "."}}, "trial.source"),
    ({"compute": {"instance": "ml.m5.large", "spot": True}}, "compute.spot"),
    ({"data": {"train": "s3://b/t"}}, "data.train"),
    ({"space": {"x": Float(low=0, high=0.9, scale="reverse_log")}}, "space.x.scale"),
    ({"space": {"x": Float(low=1, high=9, scale="log")}, "strategy": {"type": "bayesian"}}, "space.x.scale"),
    ({"space": {"x": Normal(mean=0, std=1, low=-1)}}, "space.x.low"),
    ({"space": {"x": Ordinal(values=("s", "m", "l"))}}, "space.x"),
    ({"space": {"x": Float(low=0.1, high=0.9, step=0.2)}}, "space.x.step"),
    ({"stopping": {"type": "median", "grace": 3}}, "stopping"),
    ({"tags": {"Ü": "x"}}, "tags.Ü"),
    ({"sagemaker": {"a": 1}}, "sagemaker"),
])  # fmt: skip
def test_what_is_only_near_is_told_and_refused_when_strict(fields: dict[str, Any], path: str) -> None:
    exported = load_format("katib").write(tiny(**fields))
    assert (path, Support.APPROXIMATE) in [(note.path, note.support) for note in exported.notes]
    with pytest.raises(UnsupportedError, match=re.escape(path)):
        load_format("katib").write(tiny(**fields, strict=True))


def test_a_job_becomes_an_experiment_that_runs_it() -> None:
    job = tiny(
        name="Big_Job",
        trial={"command": "python train.py --rate {x}", "image": {"katib": "i:2", "vertex": "other"}, "environment": {"A": "1"}},
        space={"x": Float(low=1e-4, high=1, scale="log"), "n": Int(low=8, high=64, step=8), "flag": Categorical(values=(True, None)), "k": Constant(value="v w")},
        limits={"trials": 4, "parallel": 9, "failed": 2, "trial_time": "90s", "target": 0.5},
        strategy={"type": "random", "seed": 3},
        stopping={"type": "auto"},
        retries=1,
        compute={"cpus": 1.5, "memory": "2GB", "accelerators": "A100:2"},
        data={"train": {"katib": "s3://b/t"}},
        identity={"katib": "tuner"},
        tags={"team": "ads"},
        native={"katib": {"metadata": {"namespace": "ml"}, "spec": {"trialTemplate": {"trialSpec": {"spec": {"ttlSecondsAfterFinished": 60}}}}}},
    )  # fmt: skip
    found: Any = load_format("katib").write(job).data
    assert found["metadata"] == {"name": "big-job", "labels": {"team": "ads"}, "namespace": "ml"}
    spec = found["spec"]
    assert (spec["maxTrialCount"], spec["parallelTrialCount"], spec["maxFailedTrialCount"]) == (4, 4, 2)
    assert spec["objective"] == {"type": "minimize", "objectiveMetricName": "loss", "goal": 0.5, "metricStrategies": [{"name": "loss", "value": "latest"}]}  # fmt: skip
    assert spec["algorithm"] == {"algorithmName": "random", "algorithmSettings": [{"name": "random_state", "value": "3"}]}  # fmt: skip
    assert spec["earlyStopping"] == {"algorithmName": "medianstop"}
    assert spec["parameters"] == [
        {"name": "x", "parameterType": "double", "feasibleSpace": {"min": "0.0001", "max": "1.0", "distribution": "logUniform"}},
        {"name": "n", "parameterType": "int", "feasibleSpace": {"min": "8", "max": "64", "step": "8"}},
        {"name": "flag", "parameterType": "categorical", "feasibleSpace": {"list": ["true", "null"]}},
    ]  # fmt: skip
    trial_spec = spec["trialTemplate"]["trialSpec"]
    pod = trial_spec["spec"].pop("template")["spec"]
    assert trial_spec["spec"] == {"backoffLimit": 1, "activeDeadlineSeconds": 90, "ttlSecondsAfterFinished": 60}
    assert pod["serviceAccountName"] == "tuner"
    assert pod["containers"] == [
        {
            "name": "training-container",
            "image": "i:2",
            "command": ["python", "train.py", "--rate", "${trialParameters.x}", "--n=${trialParameters.n}", "--flag=${trialParameters.flag}", "--k=v w"],
            "env": [{"name": "A", "value": "1"}, {"name": "CLOUDTUNE_DATA_TRAIN", "value": "s3://b/t"}],
            "resources": {"limits": {"cpu": "1500m", "memory": "2G", "nvidia.com/gpu": 2}},
        }
    ]  # fmt: skip
    assert not refused_by_katib(found)


@pytest.mark.parametrize(("strategy", "algorithm"), [
    (HyperoptTpe(candidates=9, gamma=0.3, seed=1), ("tpe", {"gamma": "0.3", "n_EI_candidates": "9", "random_state": "1"})),
    (OptunaSampler(options={"multivariate": True, "n_startup_trials": 4}), ("multivariate-tpe", {"n_startup_trials": "4"})),
    (OptunaSampler(sampler="CmaEsSampler", seed=2), ("cmaes", {"random_state": "2"})),
    (OptunaSampler(sampler="RandomSampler"), ("random", {})),
    (OptunaSampler(), ("tpe", {})),
    (Evolutionary(), ("cmaes", {})),
])  # fmt: skip
def test_a_strategy_becomes_the_algorithm_that_is_nearest(strategy: Any, algorithm: tuple[str, dict[str, str]]) -> None:
    found: Any = plan(tiny(strategy=strategy)).request["spec"]["algorithm"]  # type: ignore[index, call-overload]
    settings_ = {each["name"]: each["value"] for each in found.get("algorithmSettings", [])}
    assert (found["algorithmName"], settings_) == algorithm


def test_hyperband_gives_budgets_by_the_parameter_that_native_settings_name() -> None:
    setting = {"spec": {"algorithm": {"algorithmSettings": [{"name": "resource_name", "value": "epochs"}]}}}
    space = {"x": Float(low=0, high=1), "epochs": Constant(value=27)}
    found: Any = load_format("katib").write(tiny(strategy=Hyperband(max_resource=27), space=space, native={"katib": setting})).data  # fmt: skip
    assert {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "27"}} in found["spec"]["parameters"]  # fmt: skip
    assert {each["name"]: each["value"] for each in found["spec"]["algorithm"]["algorithmSettings"]} == {"r_l": "27", "eta": "3", "resource_name": "epochs"}  # fmt: skip
    assert not refused_by_katib(found)


def test_a_grid_with_levels_has_steps_and_as_many_trials_as_combinations() -> None:
    space = {"x": Float(low=0, high=1), "k": Categorical(values=("a", "b"))}
    found: Any = load_format("katib").write(tiny(strategy={"type": "grid", "levels": 5}, space=space, limits={"trials": 99})).data  # fmt: skip
    assert found["spec"]["parameters"][0]["feasibleSpace"] == {"min": "0.0", "max": "1.0", "step": "0.25"}
    assert found["spec"]["maxTrialCount"] == 10


@given(job=jobs())
@settings(max_examples=examples(20), deadline=None)
def test_every_leaf_of_any_job_is_carried_or_noted(job: TuningJob) -> None:
    planned = plan(job)
    assert [path for path, _ in leaves(job) if planned.support(path) is None] == []
    assert not any("no translation" in note.message for note in planned.notes)


expressible = jobs(
    space=st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9_./-]{0,11}", fullmatch=True), parameters(), min_size=1, max_size=5),
    trial=st.builds(TrialSpec, command=st.lists(TEXTS, min_size=1, max_size=4).map(tuple), image=TEXTS, environment=st.dictionaries(st.sampled_from("AB"), TEXTS)),
    objective=st.builds(Objective, metric=TEXTS, goal=st.sampled_from(["maximize", "minimize"]), measurement=st.sampled_from(["last", "best"])),
    strategy=st.builds(Random, seed=st.none() | st.integers(0, 9)) | st.builds(HyperoptTpe, seed=st.none() | st.integers(0, 9)),
    stopping=st.none() | st.builds(Median, grace=st.integers(0, 9)),
    compute=st.builds(Compute, cpus=st.none() | st.floats(0.1, 12), memory=st.none() | st.integers(1, 10**12)),
    metrics=st.just({}), warm_start=None, mode="auto", strict=False, network=None, native=st.just({}),
)  # fmt: skip


@given(job=expressible)
@settings(max_examples=examples(30), deadline=None)
def test_what_katib_can_say_comes_back_as_it_went(job: TuningJob) -> None:
    planned = plan(job)
    refused = {note.path for note in planned.notes if note.support is Support.UNSUPPORTED}
    if refused:
        assert refused == {"space"}  # nothing varies
        return
    request = json.loads(json.dumps(planned.request))
    assert not refused_by_katib(request)
    back = parse(Document(request, "the experiment")).job
    assert plan(back).request == request
    assert not back.native
    assert back.objective == job.objective
    assert back.strategy == job.strategy or isinstance(job.strategy, HyperoptTpe)  # whose startup Katib has not
    assert back.stopping == (job.stopping and Median(grace=job.stopping.grace))
    assert back.limits.trials == job.limits.trials
    assert back.limits.trial_time is None or back.limits.trial_time == job.limits.trial_time or job.limits.trial_time
    for name, parameter in back.space.items():
        assert same_law(parameter, job.space[name])


def same_law(ours: Any, theirs: Any) -> bool:
    """Whether two parameters have the same distribution, as far as Katib can say it."""
    positions = np.linspace(0.05, 0.95, 7)
    if isinstance(theirs, Categorical | Ordinal):
        return [commands.text_of(value) for value in ours.values] == [
            commands.text_of(value) for value in theirs.values
        ]
    plain: Parameter = theirs.model_copy(update={"low": None, "high": None}) if isinstance(theirs, Normal | LogNormal) else theirs  # fmt: skip
    if getattr(theirs, "scale", "") == "reverse_log":
        plain = theirs.model_copy(update={"scale": "linear"})
    drawn = [[float(axis_of(each).at(position)) for position in positions] for each in (ours, plain)]  # type: ignore[arg-type]
    return drawn[0] == pytest.approx(drawn[1], rel=1e-6, abs=1e-9)


# Mistakes


@pytest.mark.parametrize(("changes", "path", "message"), [
    ({"objective": {"type": "min", "objectiveMetricName": "a"}}, "spec.objective.type", "must be 'minimize' or 'maximize'"),
    ({"objective": None}, "spec.objective", "is missing"),
    ({"parameters": []}, "spec.parameters", "at least one"),
    ({"parameters": [double("x", "0", "1"), double("x", "0", "1")]}, "spec.parameters[1].name", "stands twice"),
    ({"parameters": [double("x", "2", "1")]}, "spec.parameters[0].feasibleSpace.min", "is above max"),
    ({"parameters": [double("x", "a", "1")]}, "spec.parameters[0].feasibleSpace.min", "is no number"),
    ({"parameters": [double("x", "-1", "0", distribution="logUniform")]}, "spec.parameters[0].feasibleSpace.max", "above 0"),
    ({"parameters": [double("x", "0", "1", distribution="beta")]}, "spec.parameters[0].feasibleSpace.distribution", "must be"),
    ({"parameters": [{"name": "x", "parameterType": "int", "feasibleSpace": {"min": "0.5", "max": "3"}}]}, "spec.parameters[0].feasibleSpace.min", "no whole number"),
    ({"parameters": [{"name": "x", "parameterType": "int", "feasibleSpace": {"max": "3"}}]}, "spec.parameters[0].feasibleSpace.min", "is missing"),
    ({"parameters": [{"name": "x", "parameterType": "categorical", "feasibleSpace": {"min": "3"}}]}, "spec.parameters[0].feasibleSpace.list", "needs its values"),
    ({"algorithm": {"algorithmName": "grid"}}, "spec.parameters[0].feasibleSpace.step", "a grid needs the step"),
    ({"algorithm": {"algorithmName": "hyperband"}}, "spec.algorithm.algorithmSettings", "needs the settings"),
    ({"algorithm": {"algorithmName": "darts"}}, "spec.algorithm", "architecture"),
    ({"earlyStopping": {"algorithmName": "medianstop", "algorithmSettings": [{"name": "start_step", "value": "0"}]}}, "spec.earlyStopping.algorithmSettings", "from 1"),
    ({"trialTemplate": template(["p", "${trialParameters.nix}"])}, "spec.trialTemplate.trialSpec.spec.template.spec.containers[0].command[1]", "is not among trialParameters"),
    ({"trialTemplate": template([], primaryContainerName="nix")}, "spec.trialTemplate.primaryContainerName", "there is no container 'nix'"),
    ({"trialTemplate": template([], trialParameters=[{"name": "x", "reference": "nix"}])}, "spec.trialTemplate.trialParameters[0].reference", "no parameter 'nix'"),
    ({"trialTemplat": {}}, "spec.trialTemplat", "is no key"),
    ({"trialTemplate": template([], trialSpec={"spec": {}})}, "spec.trialTemplate.trialSpec.kind", "is missing"),
    ({"trialTemplate": template("p")}, "spec.trialTemplate.trialSpec.spec.template.spec.containers[0].command", "must be a list"),  # type: ignore[arg-type]
])  # fmt: skip
def test_a_mistake_is_told_with_its_place_in_the_file(
    changes: dict[str, Any], path: str, message: str, tmp_path: Path
) -> None:
    data = {**experiment(**changes)}
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_format("katib").read(str(file))
    found = {problem.path: problem for problem in caught.value.problems}
    assert message in found[path].message
    line = file.read_text("utf-8").splitlines()[(found[path].line or 0) - 1]
    assert found[path].line is not None
    assert message == "is missing" or str(data["spec"].get("maxTrialCount")) not in line


def test_the_line_of_a_mistake_is_that_of_the_value(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment(parameters=[double("x", "7", "1")])), "utf-8")
    with pytest.raises(SpecError) as caught:
        load_format("katib").read(str(file))
    (problem,) = caught.value.problems[:1]
    assert file.read_text("utf-8").splitlines()[problem.line - 1].strip() == "min: '7'"  # type: ignore[operator]


@pytest.mark.parametrize(("text", "message"), [
    ("", "holds no Experiment"),
    ("kind: Pod\n", "holds no Experiment"),
    ("- 1\n", "holds no Experiment"),
    ("kind: \"a\n", "this quote is not closed"),
    ("a: &a [*a]\n", "stands within the value that it means"),
    ("kind: Experiment\n", "api"),
])  # fmt: skip
def test_a_file_without_an_experiment_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(SpecError, match=re.escape(message)):
        load_format("katib").read(str(file))


def test_one_of_several_experiments_is_chosen_by_its_name(tmp_path: Path) -> None:
    other = {**experiment(), "metadata": {"name": "other"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [experiment(), other]}
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, listed]), "utf-8")
    assert load_format("katib").read(str(file), study="other").job.name == "other"
    with pytest.raises(ConfigError, match="mnist, other; choose one with --study NAME"):
        load_format("katib").read(str(file))


# The command line


def test_import_and_export_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, job = tmp_path / "experiment.yaml", tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(SAMPLES["cmaes"]), "utf-8")
    assert run_app(["import", str(file), "--from", "katib", "-o", str(job)]) == 0
    said = capsys.readouterr().err
    assert "note: spec.algorithm.algorithmSettings[0]: restart_strategy: ipop is for Katib alone" in said
    first, second = job.read_text("utf-8").splitlines()[:2]
    assert first.startswith("# Made of katib")
    assert second == "# - spec.algorithm.algorithmSettings[0]: restart_strategy: ipop is for Katib alone"
    assert run_app(["export", str(job), "--to", "katib"]) == 0
    assert numbers(yaml.safe_load(capsys.readouterr().out)) == numbers(SAMPLES["cmaes"])


def test_what_is_not_carried_stands_in_the_first_lines_of_an_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, file = tmp_path / "job.yaml", tmp_path / "experiment.yaml"
    job.write_text(tiny(limits={"trials": 4, "time": "1h"}).to_yaml(), "utf-8")
    assert run_app(["export", str(job), "--to", "katib", "-o", str(file)]) == 0
    assert "note: limits.time: approximate: Katib has no limit on the whole" in capsys.readouterr().err
    assert "# - limits.time: approximate: Katib has no limit on the whole" in file.read_text("utf-8")
    assert run_app(["export", str(job), "--to", "katib", "--set", "mode=driven"]) == 3
    assert "mode: Katib's own services choose the trials" in capsys.readouterr().err
