"""Spaces of functions for Transformers, and Trainers that cannot be searched; the search itself is in tests/frameworks."""

from types import SimpleNamespace
from typing import Any

import pytest

from cloudtune.huggingface import hyperparameter_search
from cloudtune.huggingface.spaces import DEFAULT_SPACE, SuggestedTrial, recorded
from cloudtune.space.plain import spelled_out
from cloudtune.spec.job import TuningJob


def of_optuna(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("lr", 1e-6, 1e-4, log=True),
        "weight_decay": trial.suggest_float("decay", 0, 0.3, step=0.1),
        "num_train_epochs": trial.suggest_int("epochs", 1, 5),
        "optim": trial.suggest_categorical("optim", ("adamw_torch", "sgd")),
    }


def test_what_a_function_asks_for_is_a_space_of_a_job() -> None:
    job = TuningJob.from_data(
        {"name": "n", "trial": {"function": "m:f"}, "objective": {"metric": "objective", "goal": "minimize"},
         "space": recorded(of_optuna), "limits": {"trials": 1}}, "test")  # fmt: skip
    assert job.space == TuningJob.from_data(
        {**job.model_dump(mode="json"), "space": spelled_out(
            {"lr": (1e-6, 1e-4, "log"), "decay": {"type": "float", "low": 0, "high": 0.3, "step": 0.1}, "epochs": range(1, 6),
             "optim": ["adamw_torch", "sgd"]}, "test")}, "test").space  # fmt: skip


def test_a_trial_answers_with_its_values() -> None:
    values: dict[str, Any] = {"lr": 1e-5, "decay": 0.1, "epochs": 2, "optim": "sgd"}
    trial = SuggestedTrial(values, 7)
    assert of_optuna(trial) == {"learning_rate": 1e-5, "weight_decay": 0.1, "num_train_epochs": 2, "optim": "sgd"}
    assert (trial.number, trial.params) == (7, values)


def test_the_default_space_is_one() -> None:
    assert set(spelled_out(DEFAULT_SPACE, "test")) == {
        "learning_rate", "num_train_epochs", "seed", "per_device_train_batch_size",
    }  # fmt: skip


def _twice(trial: Any) -> Any:
    return trial.suggest_int("a", 1, 2) + trial.suggest_int("a", 1, 3)


@pytest.mark.parametrize(("hp_space", "told"), [
    (lambda trial: {"learning_rate": 1}, "asks the trial for no value"),
    (lambda trial: trial.suggest_loguniform("a", 1, 2), "uses trial.suggest_loguniform; here a trial has suggest_float"),
    (_twice, "asks for 'a' twice"),
])  # fmt: skip
def test_a_function_that_cannot_be_read_is_told(hp_space: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        recorded(hp_space)


def test_a_value_of_some_trials_alone_is_told() -> None:
    with pytest.raises(TypeError, match="'momentum' in some trials alone"):
        SuggestedTrial({"optim": "sgd"}, 0).suggest_float("momentum", 0, 1)


def _trainer(**given: Any) -> Any:
    arguments = SimpleNamespace(**{"world_size": 1, "deepspeed": None, **given})
    return SimpleNamespace(model_init=lambda: None, args=arguments)


@pytest.mark.parametrize(("trainer", "options", "error", "told"), [
    (SimpleNamespace(model_init=None), {}, RuntimeError, "give the Trainer model_init="),
    (_trainer(), {"direction": "min"}, ValueError, "minimize or maximize, not 'min'"),
    (_trainer(), {"on": "aws"}, TypeError, "on='aws' takes more than a Trainer.*TuneCallback"),
    (_trainer(), {"strategy": "population"}, TypeError, "others' checkpoints"),
    (_trainer(), {"strategy": {"type": "population"}}, TypeError, "others' checkpoints"),
    (_trainer(world_size=2), {}, TypeError, "one of 2 processes"),
    (_trainer(deepspeed={}), {}, TypeError, "DeepSpeed"),
])  # fmt: skip
def test_what_cannot_be_searched_is_told(trainer: Any, options: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        hyperparameter_search(trainer, **options)
