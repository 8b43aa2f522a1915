"""Which files of a source folder travel with the trials."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from cloudtune.errors import Problem, SpecError
from cloudtune.units import format_size

ALWAYS_IGNORED = (
    ".git/", ".hg/", ".svn/", ".cloudtune/", "__pycache__/", "*.py[cod]", ".venv/", "venv/", ".tox/", ".nox/",
    ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".ipynb_checkpoints/", "node_modules/", ".DS_Store",
    ".env", ".env.*", "*.pem", "*.key", "id_rsa*", "id_ed25519*", ".netrc", ".aws/", ".azure/",
)  # fmt: skip
"""What never travels: version control, caches, environments, and files that usually hold secrets."""

MAX_SIZE = 2_000_000_000
"""Bytes that a source folder may have; more is data, and belongs under ``data``."""


def files_of(source: Path, ignore: Sequence[str]) -> Iterator[Path]:
    """The files that travel, relative to the source and in a fixed order.

    Args:
        source: an existing folder.
        ignore: patterns as in a .gitignore; ``!pattern`` takes one back, also of `ALWAYS_IGNORED`.
    """
    spec = GitIgnoreSpec.from_lines([*ALWAYS_IGNORED, *ignore])
    yield from _walk(source, Path(), spec)


def _walk(source: Path, below: Path, spec: GitIgnoreSpec) -> Iterator[Path]:
    for entry in sorted((source / below).iterdir()):
        path = below / entry.name
        if entry.is_dir() and not entry.is_symlink():
            if not spec.match_file(f"{path}/"):
                yield from _walk(source, path, spec)
        elif not spec.match_file(str(path)):
            yield path


def copy_source(source: Path, ignore: Sequence[str], target: Path) -> None:
    """Copies the files that travel into a new folder; symbolic links stay links.

    Raises:
        SpecError: they are larger than `MAX_SIZE`.
        OSError: a file cannot be read or written.
    """
    total = 0
    target.mkdir(parents=True)
    for path in files_of(source, ignore):
        total += (source / path).lstat().st_size
        if total > MAX_SIZE:
            hint = "name what is not code under trial.ignore, and data under data"
            raise SpecError([Problem("trial.source", f"{source} is larger than {format_size(MAX_SIZE)}", hint)])
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target / path, follow_symlinks=False)
