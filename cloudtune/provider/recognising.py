"""Recognise files that are not jobs, and name the command that makes a job of them."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudtune.errors import ConfigError, SpecError
from cloudtune.plugins.entry_points import formats, providers
from cloudtune.provider.interface import load_provider
from cloudtune.store.commands import path_word

_LOOK = 4096
"""Bytes read to recognise a program or a database."""


def advice_for(path: Path) -> str:
    """Return what a file is and the command that makes a job of it; "" for an unknown kind.

    Args:
        path: of the file, which was refused as a job.
    """
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(_LOOK)
    if head.startswith((b"SQLite format 3\0", b'{"op_code"')):
        return _with_import(path, "optuna")
    if path.suffix in (".py", ".ipynb"):
        return _of_program(path, head)
    return next((_with_import(path, origin) for origin in _origins(path)), "")


def _of_program(path: Path, head: bytes) -> str:
    if path.suffix == ".ipynb":
        return f"{path} is a notebook, not a job: save its code as a program, then write a job that runs it"
    proposal = f"`cloudtune init --from {path_word(path)} {path_word(path.parent)}` proposes one"
    start = "" if path.with_name("job.yaml").exists() else f" ({proposal})"
    told = (
        f"{path} is a program, not a job: write a job that runs it{start}, with "
        f"trial: {{source: ., command: python {shlex.quote(path.name)}}}"
    )
    words = {origin: origin.partition("-")[0].encode() for origin in ("hyperopt", "ray-tune")}
    found = next((origin for origin, word in words.items() if b"import " + word in head or b"from " + word in head), "")
    module = f"{path.stem}:NAME"
    return f"{told}; if a space stands in it: cloudtune import {module} --from {found} -o job.yaml" if found else told


def _with_import(path: Path, origin: str) -> str:
    output = path.with_name("job.yaml")
    if output.exists():
        output = path.with_name(f"{path.stem}-job.yaml")
    made = f"cloudtune import {path_word(path)} --from {origin} -o {path_word(output)}"
    return f"{path} is no job, but what {origin} has; make a job of it with: {made}"


def _origins(path: Path) -> Iterator[str]:
    """Yield the names of the formats and providers that recognise a file's data."""
    from cloudtune.interop.documents import read_documents  # noqa: PLC0415  # few files are asked about

    try:
        documents = [document.data for document in read_documents(str(path))]
    except (SpecError, ConfigError, OSError):
        return
    for data in documents:
        if isinstance(data, dict) and "space" not in data:
            yield from _origins_of(data)


def _origins_of(data: dict[str, Any]) -> Iterator[str]:
    from cloudtune.interop.formats import load_format  # noqa: PLC0415  # few files are asked about

    for name in formats():
        try:
            if load_format(name).recognises(data):
                yield name
        except ConfigError:  # what it needs is not installed, so that it cannot be imported either
            continue
    for name in providers():
        try:
            if load_provider(name).recognises(data):
                yield name
        except ConfigError:
            continue
