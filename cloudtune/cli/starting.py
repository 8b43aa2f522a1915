"""init and completion: the first minutes."""

import os
from pathlib import Path

import click

from cloudtune.errors import ConfigError

_JOB = """\
# A tuning job. Run it with: cloudtune run job.yaml
# (every field: cloudtune schema)
name: my-first-job
trial:
  command: python train.py                     # parameters follow as --name value
objective: {metric: loss, goal: minimize}
space:
  learning_rate: {type: float, low: 1e-4, high: 1.0, scale: log}
  momentum: {type: float, low: 0.0, high: 0.99}
  optimizer: {type: categorical, values: [plain, nesterov]}
strategy: {type: bayesian, seed: 1}
limits: {trials: 20, parallel: 2, trial_time: 1m}
"""

_SCRIPT = '''\
"""Fits a line to noisy points by gradient descent, and reports the loss after every epoch."""

import random

import cloudtune.trial as trial

p = trial.params()
rate, momentum = p.get("learning_rate", 0.01), p.get("momentum", 0.9)
nesterov = p.get("optimizer", "plain") == "nesterov"

noise = random.Random(0)
points = [(x / 50, 2 * x / 50 + 1 + noise.gauss(0, 0.1)) for x in range(100)]

slope = intercept = slope_speed = intercept_speed = 0.0
for epoch in range(1, 31):
    ahead = momentum if nesterov else 0.0
    a, b = slope + ahead * slope_speed, intercept + ahead * intercept_speed
    errors = [(a * x + b - y, x) for x, y in points]
    slope_speed = momentum * slope_speed - rate * 2 * sum(e * x for e, x in errors) / len(points)
    intercept_speed = momentum * intercept_speed - rate * 2 * sum(e for e, _ in errors) / len(points)
    slope, intercept = slope + slope_speed, intercept + intercept_speed
    loss = sum((slope * x + intercept - y) ** 2 for x, y in points) / len(points)
    trial.report(loss=min(loss, 1e9), step=epoch)
    if loss > 1e6:
        break  # it diverges
'''

_CONFIG = """\
# Profiles: what `--on NAME` means. Without a profile, jobs run on this machine.
default = "local"

# [profiles.team]
# provider = "sagemaker"
# region = "eu-west-1"
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--force", is_flag=True, help="Replace files that are there.")
def init(folder: Path, *, force: bool) -> None:
    """Write a job, a training script and a config to start from, into FOLDER (default: here)."""
    files = {"job.yaml": _JOB, "train.py": _SCRIPT, "cloudtune.toml": _CONFIG}
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise ConfigError(f"{folder.resolve()} has {', '.join(there)} already; --force replaces them")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    click.echo(f"wrote {', '.join(files)} in {folder.resolve()}")
    enter = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    click.echo(f"next: {enter}cloudtune run job.yaml --report report.html")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
def completion(shell: str | None) -> None:
    """Print the completion script of a shell; for bash: eval "$(cloudtune completion bash)" in ~/.bashrc."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from cloudtune.cli.app import app  # noqa: PLC0415

    name = shell or Path(os.environ.get("SHELL", "bash")).name
    kind = get_completion_class(name)
    if kind is None:
        raise ConfigError(f"there is no completion for {name!r}; choose bash, zsh or fish")
    click.echo(kind(app, {}, "cloudtune", "_CLOUDTUNE_COMPLETE").source())
