"""A LightningModule on made-up data: the callback reports each validation, ends pruned trials, and keeps checkpoints.

Replace `data` and `Model` by your own. Run it alone as well: python train.py --lr 0.01
"""

import argparse

import torch
from lightning import pytorch as pl
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cloudtune.trial.callbacks.lightning import TuneCallback


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--weight_decay", type=float, default=1e-4)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=8)
    return parser.parse_args()


def data():
    """Points, and the value of a bumpy function there."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(1000, 2, generator=random) * 4 - 2
    values = (points[:, :1] * 2).sin() * points[:, 1:].cos() + 0.05 * torch.randn(1000, 1, generator=random)
    return TensorDataset(points[:800], values[:800]), TensorDataset(points[800:], values[800:])


class Model(pl.LightningModule):
    def __init__(self, width, lr, weight_decay):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def training_step(self, batch, _):
        points, values = batch
        return nn.functional.mse_loss(self.layers(points), values)

    def validation_step(self, batch, _):
        points, values = batch
        self.log("val_loss", nn.functional.mse_loss(self.layers(points), values))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), self.hparams.lr, weight_decay=self.hparams.weight_decay)


def main():
    given = options()
    pl.seed_everything(0, verbose=False)
    train, held_out = data()
    callback = TuneCallback(["val_loss"], checkpoint=True)
    trainer = pl.Trainer(
        max_epochs=given.epochs,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    batches = DataLoader(train, given.batch_size, shuffle=True)
    model = Model(given.width, given.lr, given.weight_decay)
    trainer.fit(model, batches, DataLoader(held_out, 200), ckpt_path=callback.ckpt_path)


if __name__ == "__main__":
    main()
