"""Tuners and schedulers of Ray Tune as ours: real objects of the library, and what is noted of them."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.errors import SpecError
from cloudtune.interop.python_spaces import RayTuneSpace
from cloudtune.spec.job import TuningJob

if LATE:
    pytest.importorskip("ray.tune", exc_type=ImportError)

HEAD = """
from ray import tune
from ray.tune.schedulers import *
from ray.tune.schedulers.pb2 import PB2
try:
    from ray.tune import RunConfig
except ImportError:
    from ray.air import RunConfig
from ray.tune import TuneConfig, Tuner

def train(config):
    pass
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import what a module calls ``found``; returns the job, and the notes as text."""

    def of(text: str) -> tuple[TuningJob, str]:
        monkeypatch.delitem(sys.modules, "theirs", raising=False)
        (tmp_path / "theirs.py").write_text(HEAD + textwrap.dedent(text))
        made = RayTuneSpace().read("theirs:found")
        return made.job, "\n".join(f"{note.path}: {note.message}" for note in made.notes)

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return of


def test_population_based_training_of_a_tuner_is_our_strategy(read: Any) -> None:
    job, notes = read("""
        pbt = PopulationBasedTraining(
            time_attr="training_iteration", perturbation_interval=5, quantile_fraction=0.5, resample_probability=0.1, synch=True,
            hyperparam_mutations={"lr": tune.loguniform(1e-4, 1e-1), "batch": [16, 32], "net": {"drop": tune.uniform(0, 0.5)}},
        )
        found = Tuner(
            train,
            param_space={"lr": tune.uniform(0.001, 0.1), "width": 3, "net": {"act": tune.choice(["relu", "gelu"])}},
            tune_config=TuneConfig(num_samples=6, metric="acc", mode="max", scheduler=pbt),
            run_config=RunConfig(stop={"training_iteration": 40}),
        )
    """)
    assert job.strategy.model_dump(exclude={"seed"}) == {
        "type": "population", "members": 6, "interval": 5, "max_resource": 40, "quantile": 0.5, "resample": 0.1,
    }  # fmt: skip
    assert job.limits.trials is None
    assert (job.objective[0].metric, job.objective[0].goal) == ("acc", "maximize")
    lr = job.space["lr"].model_dump()
    assert (lr["low"], lr["high"], lr["scale"]) == (1e-4, 1e-1, "log")
    assert list(job.space) == ["lr", "width", "net.act", "net.drop", "batch"]
    assert job.space["batch"].model_dump()["values"] == (16, 32)
    assert "lr: its first values come from param_space there" in notes
    assert "net.act: a member keeps its first value there" in notes
    assert "trial.checkpoint_dir()" in notes
    assert "not known: max_resource" not in notes


def test_what_a_scheduler_does_otherwise_is_noted(read: Any) -> None:
    job, notes = read("""
        found = PopulationBasedTraining(
            metric="loss", mode="min", perturbation_interval=60, burn_in_period=120, perturbation_factors=(2, 0.5),
            quantile_fraction=0, custom_explore_fn=dict, hyperparam_mutations={"lr": tune.uniform(0, 1)},
        )
    """)
    assert (job.strategy.interval, job.strategy.max_resource, job.strategy.quantile) == (60, 600, 0.25)
    for said in (
        "values of 'time_total_s'", "multiplied by (2, 0.5)", "custom_explore_fn is not called", "from step 120 on",
        "synch=True", "quantile_fraction is 0", "max_resource is 600", "how many members there are is not known: 8",
    ):  # fmt: skip
        assert said in notes


def test_pb2_is_population_based_training_without_its_model(read: Any) -> None:
    import ray

    if ray.__version__.split(".") < ["2", "60"]:
        pytest.importorskip("GPy")  # which earlier versions need to make one
    job, notes = read("""
        found = PB2(
            time_attr="training_iteration", metric="a", mode="max", perturbation_interval=10,
            hyperparam_bounds={"lr": [1e-4, 1e-1], "net": {"drop": [0, 0.5]}},
        )
    """)
    assert (job.strategy.type, job.strategy.interval) == ("population", 10)
    assert {name: (each.low, each.high) for name, each in job.space.items()} == {
        "lr": (1e-4, 1e-1),
        "net.drop": (0, 0.5),
    }
    assert "PB2 chooses values by a Gaussian process" in notes
    assert "multiplied" not in notes


def test_asha_of_a_tuner_is_our_rule_and_other_schedulers_are_told(read: Any) -> None:
    job, notes = read("""
        found = Tuner(train, param_space={"x": tune.uniform(0, 1)}, tune_config=TuneConfig(
            num_samples=40, metric="loss", mode="min",
            scheduler=ASHAScheduler(time_attr="training_iteration", max_t=81, grace_period=3, reduction_factor=4)))
    """)
    assert job.stopping is not None
    assert job.stopping.model_dump(exclude_none=True) == {
        "type": "asha",
        "min_resource": 3,
        "max_resource": 81,
        "eta": 4,
    }
    assert job.limits.trials == 40
    assert "how many trials there are is not known" not in notes
    job, notes = read("""
        found = Tuner(train, param_space={"x": tune.grid_search([1, 2])}, tune_config=TuneConfig(
            metric="loss", mode="min", scheduler=MedianStoppingRule()))
    """)
    assert (job.strategy.type, job.stopping) == ("grid", None)
    assert "the scheduler MedianStoppingRule is not read" in notes


@pytest.mark.parametrize(("found", "said"), [
    ("[1]", "a space of Ray Tune is a dict, not list"),
    ('PopulationBasedTraining(metric="a", mode="max", hyperparam_mutations={"net": {"lr": lambda: 0.5}})', "hyperparam_mutations has a function, whose range cannot be read"),
])  # fmt: skip
def test_what_cannot_be_read_is_refused(found: str, said: str, read: Any) -> None:
    with pytest.raises(SpecError, match=said):
        read(f"found = {found}")
