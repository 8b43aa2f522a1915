"""Jobs as Katib's experiments: what they run, what is refused, and the command line."""

import json
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
from katib_experiments import SAMPLES, job_of, numbers, refused_by_katib, tiny
from late import LATE

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.errors import UnsupportedError
from cloudtune.interop.documents import Document
from cloudtune.interop.formats import load_format
from cloudtune.interop.katib.reading import parse
from cloudtune.interop.katib.templates import words_of
from cloudtune.interop.katib.writing import plan
from cloudtune.planning.plan import Support, leaves
from cloudtune.space.axes import axis_of
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal, Parameter
from cloudtune.spec.compute import Compute
from cloudtune.spec.job import TrialSpec
from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import Median
from cloudtune.spec.strategies import Evolutionary, Hyperband, HyperoptTpe, OptunaSampler, Random
from cloudtune.testing.specs import TEXTS, jobs, parameters
from cloudtune.trial import commands

if LATE:
    katib = pytest.importorskip("kubeflow_katib_api.models")


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
    ({"space": {"x": Int(low=1, high=9, scale="log")}, "strategy": {"type": "bayesian"}}, "space.x.scale"),
    ({"space": {"x": Float(low=1, high=9)}, "strategy": {"type": "bayesian"}}, "space.x.scale"),
    ({"space": {"x": Float(low=0, high=9)}, "strategy": {"type": "bayesian"}}, "space.x.low"),
    ({"space": {"x": Float(low=1, high=9, step=1)}, "strategy": {"type": "bayesian"}}, "space.x.step"),
    ({"space": {"x": Normal(mean=0, std=1, low=-1)}}, "space.x.low"),
    ({"space": {"x": Ordinal(values=("s", "m", "l"))}}, "space.x"),
    ({"space": {"x": Float(low=0.1, high=0.9, step=0.2)}, "strategy": {"type": "random"}}, "space.x.step"),
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
    metrics=st.just({}), region=None, require=(), constraints=(), confirm=None, warm_start=None, mode="auto", strict=False, network=None, native=st.just({}),
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


@pytest.mark.parametrize(("space", "algorithm"), [
    ({"x": Float(low=0, high=1)}, "tpe"),  # Katib's Bayesian search draws reals by their logarithm
    ({"x": Float(low=1e-3, high=1, scale="log")}, "bayesianoptimization"),
    ({"x": Int(low=1, high=9)}, "bayesianoptimization"),
    ({"x": Normal(mean=0, std=1)}, "tpe"),
])  # fmt: skip
def test_a_strategy_that_is_left_open_is_one_of_katibs_that_learns(space: Any, algorithm: str) -> None:
    exported: Any = load_format("katib").write(tiny(space=space, strategy={"type": "auto", "seed": 3}))
    assert exported.data["spec"]["algorithm"]["algorithmName"] == algorithm
    assert [note.support for note in exported.notes if note.path == "strategy.type"] == [Support.ENCODED]
