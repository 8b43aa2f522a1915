"""Katib's experiments as jobs and back: nothing is lost, and Katib's own model takes what is written."""

import json
import math
import random
import re
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from katib_experiments import SAMPLES, double, job_of, numbers, read, refused_by_katib, tiny
from late import LATE

from cloudtune import TuningJob, trial
from cloudtune.errors import SpecError, UnsupportedError
from cloudtune.interop.documents import Document
from cloudtune.interop.formats import load_format
from cloudtune.interop.katib.metrics import DEFAULT, filters_of, regex_of
from cloudtune.interop.katib.model import ParameterSpec
from cloudtune.interop.katib.reading import parse
from cloudtune.interop.katib.spaces import entry_of
from cloudtune.space.axes import axis_of
from cloudtune.space.parameters import LogNormal
from cloudtune.spec.objective import Objective

if LATE:
    from scipy import stats

    pytest.importorskip("kubeflow_katib_api.models")


@pytest.mark.parametrize("name", SAMPLES)
def test_exporting_what_was_imported_gives_the_same_experiment(name: str) -> None:
    imported = read(json.loads(json.dumps(SAMPLES[name])))
    job = TuningJob.from_yaml(imported.job.to_yaml())
    assert job == imported.job
    exported: Any = load_format("katib").write(job).data
    assert numbers(exported) == numbers(SAMPLES[name])
    assert not refused_by_katib(exported)


def notes_of(name: str) -> str:
    return "\n".join(map(str, read(SAMPLES[name]).notes))


def test_an_experiment_becomes_neutral_as_far_as_it_can() -> None:
    assert job_of("random") == TuningJob.from_data(
        {
            "name": "mnist",
            "trial": {"command": ["python3", "/opt/mnist.py", "--epochs=1", "--lr={lr}", "--momentum={momentum}"], "image": "ghcr.io/me/mnist:1"},
            "objective": {"metric": "loss", "goal": "minimize", "measurement": "best"},
            "space": {"lr": {"type": "float", "low": 0.01, "high": 0.05}, "momentum": {"type": "float", "low": 0.5, "high": 0.9}},
            "strategy": {"type": "random"},
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
    ("pbt", "spec.algorithm: in Katib each trial is one generation"),
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
