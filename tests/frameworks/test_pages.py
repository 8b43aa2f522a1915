"""The snippets of docs/frameworks run, with the real libraries on small data."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cloudtune.trial as trial

FOLDER = Path(__file__).parents[2] / "docs" / "frameworks"
X = np.random.default_rng(1).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def snippet(name: str) -> Any:
    """Return the function of a page."""
    pytest.importorskip({"huggingface": "transformers"}.get(name, name))
    code = re.search(r"```python\n(.*?)```", (FOLDER / f"{name}.md").read_text(), re.DOTALL)
    assert code is not None
    found: dict[str, Any] = {}
    exec(code[1], found)  # of our own documentation
    return found["train"]


def test_xgboost(reports: Any) -> None:
    train = snippet("xgboost")
    import xgboost

    data = xgboost.DMatrix(X, Y)
    train(data, data, 12)
    assert [step for step, _ in reports] == list(range(1, 13))
    assert train(data, data, 12 + 3).num_boosted_rounds() == 15  # on from the checkpoint of round 10


def test_lightgbm(reports: Any) -> None:
    train = snippet("lightgbm")
    import lightgbm

    data = lightgbm.Dataset(X, Y)
    train(data, lightgbm.Dataset(X, Y, reference=data), 4)
    assert [(step, *metrics) for step, metrics in reports] == [(step, "loss") for step in range(1, 5)]


def test_catboost(reports: Any) -> None:
    train = snippet("catboost")
    trial.current().parameters["depth"] = 1
    train((X, Y), (X, Y))
    assert [step for step, _ in reports] == list(range(1, 201))


def test_keras(reports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train = snippet("keras")
    import keras

    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    train(model, (X, Y), (X, Y))
    assert [step for step, _ in reports] == list(range(1, 11))


def test_huggingface(reports: Any) -> None:
    train = snippet("huggingface")
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    small = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    rows = [{"input_ids": torch.tensor([n % 20, 1, 2]), "labels": torch.tensor(n % 2)} for n in range(8)]
    train(BertForSequenceClassification(small), rows)
    assert [(step, *metrics) for step, metrics in reports] == [(step, "loss") for step in range(1, 4)]


def test_lightning(reports: Any) -> None:
    train = snippet("lightning")
    import torch
    from lightning import pytorch as pl

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = self.layer(batch[0]).square().mean()
            self.log("val_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(8, 2)), batch_size=4)
    train(Model(), data)
    assert [step for step, _ in reports] == list(range(1, 11))
