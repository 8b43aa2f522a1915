"""Loading of a job file with the overrides of the command line."""

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.errors import ConfigError, SpecError, UnsupportedError
from cloudtune.spec.job import TuningJob
from cloudtune.spec.text.changing import put, yaml_value
from cloudtune.spec.text.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudtune.store.records import RunRecord

JOB_FILE = "job_file"
"""Key of a run's notes: a hash of the file of its job, and the file's path."""


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
    data = yaml_value(read_file(path), str(path))
    for override in overrides:
        place, equals, value = override.partition("=")
        if not equals or not place:
            raise click.UsageError(f"--set takes PATH=VALUE, such as limits.trials=10, not {override!r}")
        changed = yaml_value(value, f"--set {place}") if value.strip() else None
        try:
            put(data, place, changed)
        except ValueError as error:
            raise click.UsageError(f"--set {place}: {error}") from None
    return TuningJob.from_data(data, f"{path} with --set")


@contextlib.contextmanager
def with_lines_of(path: Path) -> "Iterator[None]":
    """Add to what a provider refuses within the context where the job's file says it.

    Raises:
        UnsupportedError: the provider refuses the job.
    """
    try:
        yield
    except UnsupportedError as error:
        from cloudtune.spec.text.places import with_lines  # noqa: PLC0415  # only after a mistake

        raise UnsupportedError(error.provider, with_lines(error.problems, path), error.lines) from error


def file_note(path: Path) -> str:
    """Return what a run notes of the file of its job, by which `edited_job_file` tells whether it was edited since."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()[:16]} {path.resolve()}"


def edited_job_file(record: "RunRecord") -> Path | None:
    """Return the file of a run's job, if it was edited since the run was launched."""
    digest, _, name = record.native.get(JOB_FILE, "").partition(" ")
    try:
        return Path(name) if digest and file_note(Path(name)).partition(" ")[0] != digest else None
    except OSError:
        return None  # it is gone, which changes nothing
