"""`cloudtune.huggingface.hyperparameter_search`, with the real library on small data."""

# ruff: noqa: E402  # skipped without the library

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from transformers import BertConfig, BertForSequenceClassification, EarlyStoppingCallback, Trainer, TrainingArguments
from transformers.trainer_utils import BestRun

from cloudtune import NoGoodTrial
from cloudtune.huggingface import hyperparameter_search

ROWS = [{"input_ids": torch.tensor([n % 20, 1, 2]), "labels": torch.tensor(n % 2)} for n in range(8)]


def model(hidden: int) -> Any:
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    return BertForSequenceClassification(BertConfig(vocab_size=20, hidden_size=hidden, **sizes))


def trainer(folder: Path, model_init: Any, **given: Any) -> Any:
    arguments = TrainingArguments(
        **{"output_dir": str(folder), "num_train_epochs": 2, "eval_strategy": "epoch", "save_strategy": "epoch", "report_to": [],
           "use_cpu": True, "disable_tqdm": True, "metric_for_best_model": "eval_loss", "load_best_model_at_end": True, **given})  # fmt: skip
    return Trainer(model_init=model_init, args=arguments, train_dataset=ROWS, eval_dataset=ROWS)


def test_a_function_for_optuna_is_searched_and_the_best_run_is_that_of_transformers(tmp_path: Path) -> None:
    def hp_space(trial: Any) -> Any:
        hidden = trial.suggest_int("hidden", 4, 8, step=4)
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        return {"learning_rate": rate, "per_device_train_batch_size": 32 // hidden}

    def model_init(trial: Any) -> Any:
        return model(4 if trial is None else trial.params["hidden"])

    given = trainer(tmp_path / "out", model_init)
    given.add_callback(EarlyStoppingCallback(1))
    rate = given.args.learning_rate
    best = hyperparameter_search(given, hp_space, n_trials=3, parallel=2, project=tmp_path, quiet=True)
    assert isinstance(best, BestRun)
    run = best.run_summary
    trials = {f"{run.id}-{each.number}": each for each in run.trials()}
    assert len(trials) == 3
    assert best.objective == min(each.metrics["eval_loss"] for each in trials.values())
    assert best.hyperparameters == trials[best.run_id].parameters
    state = next((tmp_path / "out" / f"run-{best.run_id}").glob("checkpoint-*/trainer_state.json")).read_text()
    assert f'"train_batch_size": {32 // best.hyperparameters["hidden"]}' in state
    assert (given.args.learning_rate, given.args.output_dir) == (rate, str(tmp_path / "out"))
    for name, value in {"learning_rate": best.hyperparameters["rate"]}.items():
        setattr(given.args, name, value)
    given.train()  # as it was: it trains on, as after the method


def test_several_objectives_have_a_front_and_a_trainer_that_evaluates_nothing_is_evaluated(tmp_path: Path) -> None:
    given = trainer(tmp_path, lambda: model(4), eval_strategy="no", load_best_model_at_end=False, save_strategy="no")
    best = hyperparameter_search(
        given, {"learning_rate": (1e-4, 1e-1, "log")}, lambda found: [found["eval_loss"], -found["eval_loss"]], 2,
        ["minimize", "minimize"], project=tmp_path, quiet=True, name="both")  # fmt: skip
    assert [len(each.objective) for each in best] == [2, 2]
    assert best[0].run_id.startswith("both-")


def test_an_objective_too_many_is_told(tmp_path: Path) -> None:
    given = trainer(tmp_path, lambda: model(4), num_train_epochs=1)
    with pytest.raises(NoGoodTrial, match="compute_objective returned 2 values, and direction says 1"):
        hyperparameter_search(
            given, {"seed": range(1, 3)}, lambda found: [1, 2], 1, project=tmp_path, quiet=True, name="x"
        )
