"""The callbacks of Lightning, Hugging Face and Keras, with the real libraries on small data."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import cloudtune.trial as trial


@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
class TestLightning:
    def model(self, pl: Any) -> Any:
        import torch

        class Model(pl.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.layer = torch.nn.Linear(2, 1)

            def training_step(self, batch: Any, _: int) -> Any:
                return self.layer(batch[0]).square().mean()

            def validation_step(self, batch: Any, _: int) -> None:
                self.log("val_loss", self.layer(batch[0]).square().mean())

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), 0.1)

            def train_dataloader(self) -> Any:
                return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(8, 2)), batch_size=4)

            val_dataloader = train_dataloader

        return Model()

    def fit(self, name: str, epochs: int, folder: Path) -> tuple[Any, Any]:
        pl = pytest.importorskip(name)
        import importlib

        from cloudtune.trial.callbacks import lightning as module

        module = importlib.reload(module)
        callback = module.TuneCallback(["val_loss"], checkpoint=True)
        trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
                             enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
                             default_root_dir=folder)  # fmt: skip
        trainer.fit(self.model(pl), ckpt_path=callback.ckpt_path)
        return trainer, callback

    def test_each_validation_is_reported_and_the_next_attempt_goes_on(
        self, name: str, reports: Any, tmp_path: Path
    ) -> None:
        self.fit(name, 2, tmp_path)
        self.fit(name, 4, tmp_path)
        assert [step for step, _ in reports] == [1, 2, 3, 4]
        assert set(reports[0][1]) == {"val_loss"}
        assert reports[-1][1]["val_loss"] < reports[0][1]["val_loss"]


class TestKeras:
    def fit(self, epochs: int, *before: Any) -> Any:
        keras = pytest.importorskip("keras")
        import numpy as np

        from cloudtune.trial.callbacks.keras import TuneCallback

        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile(optimizer="sgd", loss="mse")
        data = np.ones((16, 3)), np.zeros((16, 1))
        callbacks = [*before, TuneCallback()]
        return model.fit(*data, validation_data=data, epochs=epochs, batch_size=4, verbose=0, callbacks=callbacks)

    def test_each_epoch_is_reported(self, reports: Any) -> None:
        self.fit(3)
        assert [step for step, _ in reports] == [1, 2, 3]
        assert set(reports[0][1]) == {"loss", "val_loss"}
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def test_a_request_to_end_ends_the_training(self, reports: Any) -> None:
        def sink(step: int, _: float, metrics: dict[str, float]) -> None:
            reports.append((step, metrics))
            os.kill(os.getpid(), signal.SIGTERM)

        trial.current().sink = sink
        self.fit(50)
        assert len(reports) <= 2

    def test_outside_of_a_trial_it_does_nothing(self, capsys: Any) -> None:
        self.fit(1)
        assert capsys.readouterr().out == ""


class TestHuggingFace:
    def trainer(self, folder: Path, epochs: int) -> Any:
        pytest.importorskip("transformers")
        import torch
        from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

        from cloudtune.trial.callbacks.huggingface import TuneCallback

        small = BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
        )
        rows = [{"input_ids": torch.tensor([n % 20, 1, 2]), "labels": torch.tensor(n % 2)} for n in range(8)]
        given = TrainingArguments(output_dir=str(folder), num_train_epochs=epochs, eval_strategy="epoch",
                                  save_strategy="epoch", per_device_train_batch_size=4, report_to=[], use_cpu=True,
                                  disable_tqdm=True)  # fmt: skip
        model = BertForSequenceClassification(small)
        return Trainer(
            model, given, train_dataset=rows, eval_dataset=rows, callbacks=[TuneCallback({"loss": "eval_loss"})]
        )

    def test_each_evaluation_is_reported_and_the_next_attempt_goes_on(self, reports: Any) -> None:
        pytest.importorskip("transformers")
        from cloudtune.trial.callbacks.huggingface import last_checkpoint

        folder = Path(trial.checkpoint_dir())
        assert last_checkpoint() is None
        self.trainer(folder, 2).train()
        self.trainer(folder, 3).train(resume_from_checkpoint=last_checkpoint())
        assert [step for step, _ in reports] == [2, 4, 6]
        assert set(reports[0][1]) == {"loss"}
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
