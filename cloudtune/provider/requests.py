"""Import requests of services as jobs, with notes about what was imported."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.interop import note_of_name
from cloudtune.interop.documents import path_text, read_document
from cloudtune.interop.formats import Imported, Note
from cloudtune.spec.text.files import STDIN

if TYPE_CHECKING:
    from cloudtune.provider.interface import Provider

_MOST = 12
"""So many places are named in a note."""


def read_request(provider: "type[Provider] | Provider", source: str) -> Imported:
    """Return the job of a service's own request in a file, and notes of what it means elsewhere.

    Args:
        provider: of the service.
        source: a file of JSON or YAML, or ``-`` for standard input.

    Raises:
        SpecError: the file is no such request; says where in it.
        ConfigError: there is no such file, or the service has no requests of its own.
    """
    document = read_document(source)
    folder = None if source == STDIN else Path(source).parent
    with document.located():
        data, renamed = provider.with_legal_names(document.data, folder)
        job = provider.from_native(data, folder)
    notes = tuple(Note(theirs, note_of_name(ours)) for theirs, ours in renamed.items())
    kept = list(dict.fromkeys(_leaves(job.native_settings(provider.name), ())))
    if not kept:
        return Imported(job, notes)
    named = ", ".join(kept[:_MOST]) + (f" and {len(kept) - _MOST} more" if len(kept) > _MOST else "")
    message = f"settings of {provider.name} alone: {named}"
    return Imported(job, (*notes, Note("", message)))


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[str]:
    """Yield the paths of native settings; a list of plain values has one path."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for index, part in enumerate(value):
            yield from _leaves(part, (*path, index))
    elif path:
        yield path_text(path)
