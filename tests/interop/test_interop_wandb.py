"""Sweeps of Weights & Biases, to jobs: what their distributions, macros and bands mean."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from late import LATE

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.errors import SpecError
from cloudtune.interop.documents import Document, read_document
from cloudtune.interop.formats import Imported
from cloudtune.interop.wandb import Wandb, parse
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Parameter
from cloudtune.spec.stopping import Asha
from cloudtune.trial import commands

if LATE:
    from scipy import stats


def sweep(parameters: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A Bayesian sweep over one parameter; None takes a key away."""
    given = {
        "program": "train.py",
        "method": "bayes",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"lr": {"min": 0.1, "max": 1.0}} if parameters is None else parameters,
        "run_cap": 20,
        **changes,
    }
    return {name: part for name, part in given.items() if part is not None}


def read(data: Any) -> Imported:
    return parse(Document(data, "the sweep"))


def told(imported: Imported) -> str:
    return "\n".join(map(str, imported.notes))


def parameter(given: dict[str, Any]) -> tuple[Parameter, str]:
    imported = read(sweep({"x": given}))
    found = imported.job.space["x"]
    assert not isinstance(found, tuple)
    return found, "\n".join(str(note) for note in imported.notes if note.path.startswith("parameters"))


def test_a_sweep_becomes_a_job() -> None:
    found = read(sweep(name="my sweep", metric={"name": "acc", "goal": "maximize", "target": 0.9}, project="p"))
    assert found.job == TuningJob.from_data(
        {
            "name": "my-sweep",
            "trial": {"command": ["python", "train.py", "--lr={lr}"]},
            "objective": {"metric": "acc", "goal": "maximize", "source": "wandb"},
            "space": {"lr": {"type": "float", "low": 0.1, "high": 1.0}},
            "strategy": {"type": "bayesian"},
            "limits": {"trials": 20, "target": 0.9},
        }
    )
    assert "metric: is heard where the program calls wandb.log" in told(found)
    assert "wandb.config is empty elsewhere" in told(found)
    assert "project: says where" in told(found)


@pytest.mark.parametrize(("given", "ours"), [
    ({"value": 3}, Constant(value=3)),
    ({"value": None, "distribution": "constant"}, Constant(value=None)),
    ({"values": ["a", 1, True, None]}, Categorical(values=("a", 1, True, None))),
    ({"values": [1, 2], "probabilities": [0.5, 0.5]}, Categorical(values=(1, 2))),
    ({"min": 1, "max": 8}, Int(low=1, high=8)),
    ({"min": 1, "max": 8.0}, Float(low=1, high=8)),
    ({"min": 1, "max": 8, "distribution": "uniform"}, Float(low=1, high=8)),
    ({"min": -3, "max": 0, "distribution": "log_uniform"}, Float(low=math.exp(-3), high=1, scale="log")),
    ({"min": 0.1, "max": 10, "distribution": "log_uniform_values"}, Float(low=0.1, high=10, scale="log")),
    ({"min": -2, "max": 3, "distribution": "inv_log_uniform"}, Float(low=math.exp(-3), high=math.exp(2), scale="log")),
    ({"min": 0.1, "max": 10, "distribution": "inv_log_uniform_values"}, Float(low=0.1, high=10, scale="log")),
    ({"min": 0, "max": 10, "q": 2, "distribution": "q_uniform"}, Int(low=0, high=10, step=2)),
    ({"min": 0, "max": 1, "q": 0.25, "distribution": "q_uniform"}, Float(low=0, high=1, step=0.25)),
    ({"min": 0, "max": 10, "distribution": "q_uniform"}, Float(low=0, high=10, step=1)),
    ({"min": 0, "max": 3, "q": 1, "distribution": "q_log_uniform"}, Int(low=1, high=20, scale="log")),
    ({"min": 8, "max": 64, "q": 8, "distribution": "q_log_uniform_values"}, Int(low=8, high=64, step=8, scale="log")),
    ({"distribution": "normal"}, Normal(mean=0, std=1)),
    ({"distribution": "q_normal", "mu": 2, "sigma": 3, "q": 0.5}, Normal(mean=2, std=3, step=0.5)),
    ({"distribution": "log_normal", "sigma": 0.5}, LogNormal(mean=0, std=0.5)),
    ({"distribution": "q_log_normal", "mu": 3}, LogNormal(mean=3, std=1, step=1)),
    ({"distribution": "beta"}, Float(low=0, high=1)),
    ({"distribution": "q_beta", "q": 0.5}, Float(low=0, high=1, step=0.5)),
])  # fmt: skip
def test_a_parameter_becomes_what_it_is(given: dict[str, Any], ours: Parameter) -> None:
    found, _ = parameter(given)
    assert nearly(found) == nearly(ours)


def nearly(given: Parameter) -> Parameter:
    """A parameter whose bounds have ten digits: those of exponents are rounded in the last."""
    bounds = {key: float(f"{getattr(given, key):.9e}") for key in ("low", "high") if isinstance(given, Float)}
    return given.model_copy(update=bounds)


LAWS = {  # as the package sweeps defines them: the quantile function of each
    "uniform": ({"min": 0.5, "max": 3.0}, lambda p: stats.uniform(0.5, 2.5).ppf(p)),
    "int_uniform": ({"min": 2, "max": 6}, lambda p: stats.randint(2, 7).ppf(p)),
    "log_uniform": ({"min": -2, "max": 1}, lambda p: np.exp(stats.uniform(-2, 3).ppf(p))),
    "inv_log_uniform": ({"min": -2, "max": 1}, lambda p: np.exp(-stats.uniform(-2, 3).ppf(1 - p))),
    "log_uniform_values": ({"min": 0.1, "max": 9}, lambda p: stats.loguniform(0.1, 9).ppf(p)),
    "inv_log_uniform_values": ({"min": 0.1, "max": 9}, lambda p: stats.loguniform(0.1, 9).ppf(p)),
    "normal": ({"mu": 1, "sigma": 2}, lambda p: stats.norm(1, 2).ppf(p)),
    "q_normal": ({"mu": 1, "sigma": 2, "q": 0.5}, lambda p: np.round(stats.norm(1, 2).ppf(p) / 0.5) * 0.5),
    "log_normal": ({"mu": 1, "sigma": 0.5}, lambda p: stats.lognorm(s=0.5, scale=math.e).ppf(p)),
    "beta": ({"a": 1, "b": 1}, lambda p: stats.beta(1, 1).ppf(p)),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_distribution_has_the_quantiles_of_the_sweeps_package(name: str) -> None:
    given, quantile = LAWS[name]
    imported = read(sweep({"x": {"distribution": name, **given}}))
    axis = imported.job.search_space().dimensions[0].axis
    positions = np.linspace(0.03, 0.97, 29)
    assert [axis.at(position) for position in positions] == pytest.approx(quantile(positions).tolist(), rel=1e-5)


@pytest.mark.parametrize(("given", "note"), [
    ({"values": [[64, 64], [32]]}, "parameters.x.values[0]: is the text '[64, 64]' here"),
    ({"values": [1, 2], "probabilities": [0.9, 0.1]}, "parameters.x.probabilities: are not equally likely there"),
    ({"values": [1, 1, 2]}, "parameters.x.values: are not equally likely there"),
    ({"min": "1e-4", "max": 1, "distribution": "log_uniform_values"}, "parameters.x.min: is a text to Weights & Biases; write 0.0001 there"),
    ({"min": 1, "max": 9, "q": 2, "distribution": "q_uniform"}, "the first and the last less so"),
    ({"min": 0.1, "max": 9, "q": 1, "distribution": "q_log_uniform_values"}, "parameters.x.q: rounds small values to 0 there"),
    ({"distribution": "beta", "a": 2}, "parameters.x.distribution: cloudtune has no beta distribution"),
    ({"distribution": "q_normal", "q": 2}, "such as 2.0"),
])  # fmt: skip
def test_what_a_parameter_means_otherwise_is_told(given: dict[str, Any], note: str) -> None:
    assert note in parameter(given)[1]


def test_nested_parameters_are_named_by_their_path() -> None:
    given = {"opt": {"parameters": {"lr": {"min": 0.1, "max": 1.0}, "deep": {"parameters": {"x": {"value": 1}}}}}}
    found = read(sweep(given))
    assert list(found.job.space) == ["opt.lr", "opt.deep.x"]
    assert "nested parameters stand there as one dict" in told(found)


# The command

BOTH = {"lr": {"min": 0.1, "max": 1.0}, "opt": {"values": ["adam", "sgd"]}}


@pytest.mark.parametrize(("command", "words"), [
    (None, ["python", "train.py", "--lr=0.5", "--opt=adam"]),
    (["${env}", "python3", "${program}", "${args}"], ["python3", "train.py", "--lr=0.5", "--opt=adam"]),
    (["${interpreter}", "-m", "pkg", "${args_no_hyphens}", "x"], ["python", "-m", "pkg", "lr=0.5", "opt=adam", "x"]),
    (["run", "${args_no_equals}"], ["run", "--lr", "0.5", "--opt", "adam"]),
    (["run", "${args_append_hydra}"], ["run", "+lr=0.5", "+opt=adam"]),
    (["run", "${args_override_hydra}"], ["run", "++lr=0.5", "++opt=adam"]),
    (["run", "${args_no_boolean_flags}"], ["run", "--lr=0.5", "--opt=adam"]),
    (["run", "${args_json}"], ["run", '{"lr": 0.5, "opt": "adam"}']),
    (["run", 3, "{lr}", "${args}"], ["run", "3", "{lr}", "--lr=0.5", "--opt=adam"]),
])  # fmt: skip
def test_the_command_is_the_one_that_an_agent_runs(command: list[Any] | None, words: list[str]) -> None:
    job = read(sweep(BOTH, command=command)).job
    assert job.trial.command is not None
    assert commands.place(job.trial.command, {"lr": 0.5, "opt": "adam"}, list(job.space)) == words


@pytest.mark.parametrize(("changes", "note"), [
    ({"command": ["run"]}, "command: has no place for parameters"),
    ({"command": ["run", "${envvar:HOME}/x", "${args}"]}, "command[1]: an agent puts the value of a variable"),
    ({"program": None}, "program: is missing: train.py stands in its place"),
    ({"parameters": {"a": {"values": [True, False]}}}, "command[3]: booleans stand there as True and False"),
    ({"parameters": {"a": {"values": [True]}}, "command": ["p", "${args_no_boolean_flags}"]}, "as --name alone, or not at all"),
    ({"parameters": {"a": {"value": None}}}, "null stands there as None"),
    ({"run_cap": None}, "run_cap: is missing"),
    ({"metric": None}, "metric: is missing"),
    ({"metric": {"name": "a", "impute": "best"}}, "metric: what a failed or running run counts"),
    ({"method": "custom", "scheduler": {"engine": "optuna"}}, "scheduler: is a search of your own"),
])  # fmt: skip
def test_what_has_no_counterpart_is_told(changes: dict[str, Any], note: str) -> None:
    assert note in told(read(sweep(**changes)))


def test_a_grid_needs_no_cap_and_several_metrics_are_several_objectives() -> None:
    grid = read(sweep({"x": {"values": [1, 2]}}, method="grid", run_cap=None)).job
    assert (grid.strategy.type, grid.limits.trials) == ("grid", None)
    several = [{"name": "acc", "goal": "maximize"}, {"name": "cost"}]
    job = read(sweep(method="custom", metric=None, metrics=several, image_uri="me/image:1")).job
    assert [(each.metric, each.goal) for each in job.objective] == [("acc", "maximize"), ("cost", "minimize")]
    assert job.trial.image == "me/image:1"


def bands(rule: Asha, count: int) -> list[int]:
    """The steps at which a rule compares trials."""
    rungs = [rule.min_resource * rule.eta**k for k in range(count)]
    return [rung for rung in rungs if rule.max_resource is None or rung < rule.max_resource]


@pytest.mark.parametrize(("given", "rungs"), [
    ({"min_iter": 3}, [3, 9, 27, 81]),
    ({"min_iter": 2, "eta": 2}, [2, 4, 8, 16]),
    ({"max_iter": 27, "s": 2}, [3, 9]),
    ({"max_iter": 81, "s": 3, "eta": 3}, [3, 9, 27]),
])  # fmt: skip
def test_bands_are_rungs(given: dict[str, Any], rungs: list[int]) -> None:
    found = read(sweep(early_terminate={"type": "hyperband", **given}))
    assert isinstance(found.job.stopping, Asha)
    assert bands(found.job.stopping, 4) == rungs
    assert "early_terminate" not in told(found)


def test_bands_that_are_no_rungs_are_told() -> None:
    broken = told(read(sweep(early_terminate={"type": "hyperband", "max_iter": 13, "s": 2, "eta": 2.2})))
    assert "early_terminate.eta: must be a whole number from 2 here: 2" in broken
    assert "2, 5 are the bands there, 2, 4 here" in broken
    odd = read(sweep(early_terminate={"type": "hyperband", "max_iter": 17, "s": 2, "eta": 3, "strict": False}))
    assert "early_terminate: each band is eta times the one before: 1, 5 are the bands there, 1, 3 here" in told(odd)
    assert "early_terminate.strict" in told(odd)


# Mistakes


@pytest.mark.parametrize(("changes", "path", "message"), [
    ({"method": "bays"}, "method", "must be 'grid', 'random', 'bayes' or 'custom'"),
    ({"methods": "bayes"}, "methods", "is no key that this file may have"),
    ({"parameters": {}}, "parameters", "must be a mapping of parameters"),
    ({"parameters": {"x": 3}}, "parameters.x", "must be a mapping, such as"),
    ({"parameters": {"x": {"min": 1}}}, "parameters.x", "says nothing to choose from"),
    ({"parameters": {"x": {"min": 3, "max": 1}}}, "parameters.x.min", "3 is above max, 1"),
    ({"parameters": {"x": {"min": "a", "max": 1}}}, "parameters.x.min", "must be a number"),
    ({"parameters": {"x": {"min": 0, "max": 1, "distribution": "log_uniform_values"}}}, "parameters.x.min", "must be above 0"),
    ({"parameters": {"x": {"min": 0, "max": 1e4, "distribution": "log_uniform"}}}, "parameters.x.max", "write log_uniform_values"),
    ({"parameters": {"x": {"min": 0, "max": 1, "q": 0, "distribution": "q_uniform"}}}, "parameters.x.q", "must be above 0"),
    ({"parameters": {"x": {"min": 0.5, "max": 2, "distribution": "int_uniform"}}}, "parameters.x.min", "whole number"),
    ({"parameters": {"x": {"sigma": 0, "distribution": "normal"}}}, "parameters.x.sigma", "must be above 0"),
    ({"parameters": {"x": {"min": 0, "max": 1, "distribution": "uni"}}}, "parameters.x.distribution", "known are: beta,"),
    ({"parameters": {"x": {"min": 0, "max": 1, "q": 1, "distribution": "uniform"}}}, "parameters.x.q", "has no meaning"),
    ({"parameters": {"x": {"values": []}}}, "parameters.x.values", "must be a list"),
    ({"parameters": {"x": {"values": [1, 2], "probabilities": [1]}}}, "parameters.x.probabilities", "for each of the values"),
    ({"parameters": {"x": {"values": [float("nan")]}}}, "parameters.x", "no value nan"),
    ({"parameters": {"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 1}}}}}, "parameters.a.parameters.b", "stands twice"),
    ({"early_terminate": {"type": "hyperband"}}, "early_terminate", "hyperband needs min_iter"),
    ({"command": ["p", "${args_json_file}"]}, "command[1]", "${args_json_file} has no counterpart"),
    ({"command": ["p", "${args_json}"], "parameters": {"x": {"values": ["a", 1]}}}, "command[1]", "cannot be written"),
    ({"parameters": {"x": {"min": 1, "max": 1e308, "q": 1e-300, "distribution": "q_uniform"}}}, "parameters.x", "too large"),
    ({"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 10**30, "eta": 3}}, "early_terminate", "has no band"),
    ({"run_cap": 0}, "run_cap", "greater than or equal to 1"),
])  # fmt: skip
def test_a_mistake_is_told_with_its_place(changes: dict[str, Any], path: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep(**changes), sort_keys=False), "utf-8")
    with pytest.raises(SpecError) as caught:
        parse(read_document(str(file)))
    found = {problem.path: problem for problem in caught.value.problems}
    assert message in found[path].message
    assert found[path].line is not None


def test_all_mistakes_of_parameters_are_told_at_once() -> None:
    with pytest.raises(SpecError, match="2 problems"):
        read(sweep({"x": {"min": 2, "max": 1}, "y": {}}))


def test_import_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, job = tmp_path / "sweep.yaml", tmp_path / "job.yaml"
    file.write_text("program: train.py\nmethod: random\nparameters:\n  lr: {min: 1e-4, max: 0.1, distribution: log_uniform_values}\n", "utf-8")  # fmt: skip
    assert run_app(["import", str(file), "--from", "wandb", "-o", str(job)]) == 0
    assert re.search(r"note: parameters\.lr\.min: is a text .*; write 0\.0001 there", capsys.readouterr().err)
    assert TuningJob.from_yaml(job).space == {"lr": Float(low=1e-4, high=0.1, scale="log")}
    file.write_text("method: grid\nparameters:\n  x:\n    min: 2\n    max: 1\n", "utf-8")
    assert run_app(["import", str(file), "--from", "wandb"]) == 2
    assert "line 4, column 10: parameters.x.min: 2 is above max, 1" in capsys.readouterr().err


@pytest.mark.parametrize(("files", "source"), [
    ({"train.py": "print('val_loss=0.5')"}, None),
    ({"train.py": "import wandb\nwandb.init().log({'val_loss': 0.5})"}, "wandb"),
    ({"train.py": "import logs", "logs.py": "import wandb"}, "wandb"),
    ({"train.py": "from transformers import Trainer"}, "wandb"),
    ({"other.py": "print('val_loss=0.5')"}, "wandb"),
    ({"train.py": "print('val_loss=0.5')", **{f"m{number}.py": "" for number in range(200)}}, "wandb"),
])  # fmt: skip
def test_a_program_that_cannot_log_to_wandb_is_heard_by_what_it_prints(
    files: dict[str, str], source: str | None, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep()))
    found = Wandb().read(str(tmp_path / "sweep.yaml"))
    (objective,) = found.job.objective
    assert objective.source == source
    assert ("no file of the program names wandb" in told(found)) == (source is None)
