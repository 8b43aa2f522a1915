"""The files of a source folder that travel with the trials."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.bundle.stays import ALWAYS_IGNORED, Content, Rule, content_of, is_named_secret
from cloudtune.bundle.tree import Excluded, Tree, Why, tree_of
from cloudtune.spec.places import is_remote, local_path

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob

__all__ = ["ALWAYS_IGNORED", "MAX_FILES", "MAX_SIZE", "copy_source", "source_digests", "source_tree"]

MAX_SIZE = 2_000_000_000
"""Most bytes of a source folder; larger files are data and belong under ``data``."""

MAX_FILES = 200_000
"""Most entries of a source folder."""


def source_tree(job: "TuningJob", base: Path) -> Tree:
    """Return the files of a job's source folder that travel: all but those that `ignore` or `Rule` leaves out.

    Args:
        job: a job whose trial has an existing source folder.
        base: where the job's relative paths start.

    Raises:
        OSError: the folder is gone.
    """
    assert job.trial.source is not None
    source = base / job.trial.source
    rule = Rule([*_outputs(job, base, source), *job.trial.ignore])
    tree = tree_of(source, rule.choose, limit=MAX_FILES)
    files, excluded, suspicious = [], list(tree.excluded), []
    for file in tree.files:
        content = content_of(file)
        if content is Content.JOB:
            excluded.append(Excluded(file.name, Why.OWN))
        elif content is Content.KEY and not rule.is_sent(file.name):
            excluded.append(Excluded(file.name, Why.SECRET))
        else:
            files.append(file)
            if content is not Content.PLAIN or is_named_secret(file.name):
                suspicious.append(file.name)
    ordered = sorted(excluded, key=lambda each: each.name)
    return replace(tree, files=tuple(files), excluded=tuple(ordered), suspicious=tuple(suspicious))


def source_digests(job: "TuningJob", base: Path) -> dict[str, str]:
    """Return a hash of each file of a job's source folder that travels, by its name; nothing for a job without one.

    Raises:
        OSError: the folder is gone, or a file cannot be read.
    """
    found: dict[str, str] = {}
    for file in () if job.trial.source is None else source_tree(job, base).files:
        with file.path.open("rb") as content:
            found[file.name] = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    return found


def _outputs(job: "TuningJob", base: Path, source: Path) -> list[str]:
    """Return ignore patterns for the job's output folders that lie in its source folder."""
    output = job.output
    places = [] if output is None else [output] if isinstance(output, str) else list(output.values())
    here = [local_path(place) for place in places if not is_remote(place)]
    below = [os.path.relpath(base / place, source) for place in here]
    return [f"/{place}/" for place in below if place != "." and not place.startswith("..")]


def copy_source(job: "TuningJob", base: Path, target: Path) -> None:
    """Copy the files that travel into a new folder that only its owner can read.

    Raises:
        SpecError: a file cannot be read.
        OSError: the folder is gone, or the copy cannot be written.
    """
    from cloudtune.bundle.package import copy_files  # noqa: PLC0415  # loads tarfile; not for a plan

    copy_files(source_tree(job, base).files, target, "trial.source")
