"""The commands init and completion."""

import json
import os
import re
from pathlib import Path

import click

from cloudtune.errors import ConfigError
from cloudtune.plugins.entry_points import DEFAULT
from cloudtune.store.commands import path_word

_JOB = """\
# yaml-language-server: $schema=cloudtune.schema.json
# A tuning job. Run it with: cloudtune run job.yaml
# (every field: cloudtune schema)
name: my-first-job
trial:
  source: .                                    # the folder that travels; what holds secrets stays here
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

_TEMPLATES = Path(__file__).parent / "templates"
"""A folder for each framework, with the files of a project."""

TEMPLATES = ("pytorch", "lightning", "sklearn", "xgboost", "huggingface")
"""The frameworks that `init` has a project of."""

_CONFIG = f"""\
# Profiles: what `--on NAME` means; `cloudtune providers` lists what stands for PROVIDER. Without a profile, jobs run on this machine.
default = "{DEFAULT}"

# [profiles.team]
# provider = "PROVIDER"
# region = "eu-west-1"
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option(
    "--from",
    "script",
    metavar="SCRIPT.py",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Propose the job from this script's options (argparse or click), which are read, not run.",
)
@click.option("--template", type=click.Choice(TEMPLATES), help="Start from a small project of this framework.")
@click.option("--force", is_flag=True, help="Replace files that are there; a script of your own is never replaced.")
def init(folder: Path, script: Path | None, template: str | None, *, force: bool) -> None:
    """Write a job, a training script and a config to start from, into FOLDER (default: here).

    Files that are there stay as they are. A train.py that is there is what the job is proposed from.

    \b
    Examples:
      cloudtune init my-tuning
      cloudtune init --from train.py
      cloudtune init my-tuning --template pytorch
    """
    if template is not None and script is not None:
        raise click.UsageError("--template brings a script of its own; give it or --from")
    project = _project_of(template)
    own = folder / "train.py"
    mine = own.exists() and own.read_text("utf-8", "replace") != project["train.py"]
    if template is not None and mine:
        raise ConfigError(f"{own} is a script of your own, which is never replaced; name another folder for --template")
    if mine and script is None:
        script = own
    files = project if script is None else {"job.yaml": _proposed(script, folder)}
    files |= {"cloudtune.toml": _CONFIG, "cloudtune.schema.json": _schema()}
    kept = [name for name in files if (folder / name).exists()]
    if not force and len(kept) == len(files):
        raise ConfigError(f"{folder.resolve()} has {', '.join(kept)} already; --force replaces them")
    folder.mkdir(parents=True, exist_ok=True)
    written = [name for name in files if force or name not in kept]
    for name in written:
        (folder / name).write_text(files[name], "utf-8")
    click.echo(f"wrote {', '.join(written)} in {folder.resolve()}")
    if len(written) < len(files):
        click.echo(f"kept {', '.join(name for name in kept if name not in written)}; --force replaces them")
    if template is not None:
        click.echo(f"needs: pip install -r {path_word(folder / 'requirements.txt')}")
    enter = "" if folder.resolve() == Path.cwd() else f"cd {path_word(folder)} && "
    click.echo(f"next: {enter}cloudtune run job.yaml --report report.html")


def _project_of(template: str | None) -> dict[str, str]:
    """Return the files of a template, by name; None for the project that needs no other package."""
    if template is None:
        return {"job.yaml": _JOB, "train.py": _SCRIPT}
    return {file.name: file.read_text("utf-8") for file in sorted((_TEMPLATES / template).iterdir()) if file.is_file()}


def _proposed(script: Path, folder: Path) -> str:
    """Return the YAML of the job proposed for a script, which must lie below the job's folder.

    Raises:
        ConfigError: the script lies outside of the folder.
    """
    from cloudtune.interop.argparse_script import job_text, proposal_of  # noqa: PLC0415  # only for a given script

    below = os.path.relpath(script.resolve(), folder.resolve())
    if below.startswith(".."):
        raise ConfigError(f"{script} lies outside of {folder.resolve()}, whose job could not take it along; init there")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", script.stem).strip("-_")[:60] or "my-first-job"
    found = proposal_of(script)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    return job_text(Path(below).as_posix(), name, found)


def _schema() -> str:
    from cloudtune.spec.schema import job_schema  # noqa: PLC0415

    return json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
def completion(shell: str | None) -> None:
    """Print the completion script of a shell; for bash: eval "$(cloudtune completion bash)" in ~/.bashrc.

    \b
    Examples:
      cloudtune completion bash >> ~/.bashrc
      cloudtune completion zsh >> ~/.zshrc
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from cloudtune.cli.app import app  # noqa: PLC0415

    name = shell or Path(os.environ.get("SHELL", "bash")).name
    kind = get_completion_class(name)
    if kind is None:
        raise ConfigError(f"there is no completion for {name!r}; choose bash, zsh or fish")
    click.echo(kind(app, {}, "cloudtune", "_CLOUDTUNE_COMPLETE").source())
