"""Loading of a job file with the overrides of the command line."""

from pathlib import Path
from typing import Any

import click

from cloudtune.errors import ConfigError, SpecError
from cloudtune.spec.job import TuningJob
from cloudtune.spec.text.reading import read_file, read_yaml


def load_job(path: Path, overrides: list[str]) -> TuningJob:
    """Return the job of a file with some fields overridden.

    Args:
        path: the YAML file.
        overrides: ``PATH=VALUE`` each: keys joined by dots, the value in YAML.

    Raises:
        SpecError: the file, with the overrides, is no valid job.
        ConfigError: it is a file of another tool or a program; the message names the command for it.
        click.UsageError: an override is not of the form PATH=VALUE.
    """
    try:
        return _load(path, overrides)
    except SpecError as error:
        from cloudtune.provider.recognising import advice_for  # noqa: PLC0415  # only after a mistake

        if advice := advice_for(path):
            raise ConfigError(advice) from error
        raise


def _load(path: Path, overrides: list[str]) -> TuningJob:
    if not overrides:
        return TuningJob.from_yaml(path)
    data = _data(read_file(path), str(path))
    for override in overrides:
        place, equals, value = override.partition("=")
        if not equals or not place:
            raise click.UsageError(f"--set takes PATH=VALUE, such as limits.trials=10, not {override!r}")
        _put(data, place, _data(value, f"--set {place}") if value.strip() else None)
    return TuningJob.from_data(data, f"{path} with --set")


def _data(text: str, source: str) -> Any:  # plain data
    node, problems = read_yaml(text, source)
    if problems:
        raise SpecError(problems, source)
    return node.value


def _put(data: Any, place: str, value: object) -> None:  # plain data
    *parents, last = place.split(".")
    for index, key in enumerate(parents):
        if not isinstance(data, dict):
            raise click.UsageError(f"--set {place}: {'.'.join(parents[:index])} is no mapping")
        data = data.setdefault(key, {})
    if not isinstance(data, dict):
        raise click.UsageError(f"--set {place}: {'.'.join(parents)} is no mapping")
    data[last] = value
