"""A small network on made-up data: reports the validation loss after every epoch, and goes on from its checkpoint.

Replace `data` and `network` by your own. Run it alone as well: python train.py --lr 0.01
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cloudtune.trial as trial


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    return parser.parse_args()


def data():
    """Two spirals with noise: which of them a point belongs to."""
    random = torch.Generator().manual_seed(0)
    turn = torch.rand(1200, generator=random) * 6
    label = torch.arange(1200) % 2
    angle = turn + label * torch.pi
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 6
    points += 0.05 * torch.randn(points.shape, generator=random)
    return TensorDataset(points[:900], label[:900]), TensorDataset(points[900:], label[900:])


def network(width, dropout):
    return nn.Sequential(
        nn.Linear(2, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )


def main():
    given = options()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    train, held_out = data()
    batches = DataLoader(train, given.batch_size, shuffle=True)
    model = network(given.width, given.dropout).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), given.lr)
    loss_of = nn.CrossEntropyLoss()
    checkpoint, begin = Path(trial.checkpoint_dir(), "model.pt"), 1
    if checkpoint.exists():  # an earlier attempt of this trial was interrupted
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        begin = state["epoch"] + 1
    for epoch in range(begin, given.epochs + 1):
        model.train()
        for points, labels in batches:
            optimizer.zero_grad()
            loss_of(model(points.to(device)), labels.to(device)).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            points, labels = (column.to(device) for column in held_out.tensors)
            told = model(points)
            loss, accuracy = loss_of(told, labels).item(), (told.argmax(1) == labels).float().mean().item()
        fresh = checkpoint.with_suffix(".new")
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, fresh)
        fresh.replace(checkpoint)  # whole, even if this attempt is ended while it writes
        trial.report(loss=loss, accuracy=accuracy, step=epoch)
    torch.save(model.state_dict(), Path(trial.output_dir(), "model.pt"))


if __name__ == "__main__":
    main()
