"""A job file with the overrides of the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob


def load_job(path: Path, overrides: list[str]) -> "TuningJob":
    """The job of a file, with some fields set to other values.

    Args:
        path: the YAML file.
        overrides: ``PATH=VALUE`` each: keys joined by dots, the value as YAML writes it.

    Raises:
        SpecError: the file, or what the overrides make of it, is no job.
        ConfigError: it is a file of another tool, or a program; says what to do with it.
        click.UsageError: an override is not of its form.
    """
    from cloudtune.errors import ConfigError, SpecError  # noqa: PLC0415

    try:
        return _load(path, overrides)
    except SpecError as error:
        from cloudtune.provider.recognising import advice_for  # noqa: PLC0415

        if advice := advice_for(path):
            raise ConfigError(advice) from error
        raise


def _load(path: Path, overrides: list[str]) -> "TuningJob":
    from cloudtune.spec.job import TuningJob  # noqa: PLC0415
    from cloudtune.spec.text.reading import read_file  # noqa: PLC0415

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
    from cloudtune.errors import SpecError  # noqa: PLC0415
    from cloudtune.spec.text.reading import read_yaml  # noqa: PLC0415

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
