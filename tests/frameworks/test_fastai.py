"""The callback of fastai, with the real library on small data."""

# ruff: noqa: E402  # skipped without the library

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import cloudtune.trial as trial

pytest.importorskip("fastai")
torch = pytest.importorskip("torch")

from fastai.data.core import DataLoaders
from fastai.learner import Learner
from test_pages import snippet

from cloudtune.trial.callbacks.fastai import TuneCallback


def learner(folder: Path) -> Any:
    rows = torch.utils.data.TensorDataset(torch.ones(8, 2), torch.zeros(8, 1))
    data = DataLoaders.from_dsets(rows, rows, bs=4, num_workers=0, device=torch.device("cpu"))
    return Learner(data, torch.nn.Linear(2, 1), loss_func=torch.nn.functional.mse_loss, path=folder)


def fit(folder: Path, epochs: int, rate: float = 0.1) -> Any:
    learn, callback = learner(folder), TuneCallback(checkpoint=True)
    with learn.no_logging():
        learn.fit(epochs, rate, cbs=[callback], start_epoch=callback.start_epoch)
    return learn


def test_each_epoch_is_reported_and_the_next_attempt_goes_on(reports: Any, tmp_path: Path) -> None:
    first = fit(tmp_path, 2)
    then = fit(tmp_path, 4, rate=0)  # its own, though the optimizer's state is the first attempt's
    assert torch.equal(first.model.weight, then.model.weight)
    assert len(then.opt.state) == len(first.opt.state) > 0
    assert [step for step, _ in reports] == [1, 2, 3, 4]
    assert all(set(metrics) == {"train_loss", "valid_loss"} for _, metrics in reports)
    assert reports[1][1]["valid_loss"] == reports[3][1]["valid_loss"]
    assert [path.name for path in Path(trial.checkpoint_dir()).iterdir()] == ["epoch-4.pth"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_fit_goes_on_with_the_steps_and_predictions_report_nothing(reports: Any, tmp_path: Path) -> None:
    learn, callback = learner(tmp_path), TuneCallback(["valid_loss"])
    learn.add_cb(callback)
    with learn.no_logging():
        learn.fit(1)
        learn.get_preds()
        learn.fit(2)
    assert [step for step, _ in reports] == [1, 2, 3]


def test_a_request_to_end_ends_the_training(reports: Any, tmp_path: Path) -> None:
    def sink(step: int, _: float, metrics: dict[str, float]) -> None:
        reports.append((step, metrics))
        os.kill(os.getpid(), signal.SIGTERM)

    trial.current().sink = sink
    fit(tmp_path, 50)
    assert [step for step, _ in reports] == [1]


def test_the_page(reports: Any, tmp_path: Path) -> None:
    snippet("fastai")(learner(tmp_path))
    assert [(step, *metrics) for step, metrics in reports] == [(step, "loss") for step in range(1, 11)]


def test_outside_of_a_trial_it_does_nothing(capsys: Any, tmp_path: Path) -> None:
    fit(tmp_path, 1)
    assert "valid_loss" not in capsys.readouterr().out
    assert not [*tmp_path.rglob("epoch-*")]
