"""Read ``[places]`` of a config file, and say what is wrong there."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloudtune.errors import ConfigError, suggest
from cloudtune.plugins.entry_points import aliases, providers
from cloudtune.porting.places import Place, absolute
from cloudtune.porting.words import words_of
from cloudtune.spec.places import is_local, local_path


def read_places(table: object, path: Path, text: str) -> Iterator[Place]:
    """Yield the places of a config file.

    Args:
        table: the value of ``places``.
        path: of the file; its folder is what paths of this machine are relative to.
        text: of the file, for the lines of mistakes.

    Raises:
        ConfigError: the table is not valid; names the file, the line and the key.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f'{path}: places is a table; write [places] and below it "s3://bucket/x" = {{local = "./x"}}')
    for key, said in table.items():
        where = f"{path}{_line_of(key, text)}: places.{key!r}"
        if not isinstance(said, Mapping):
            raise ConfigError(f'{where} is no table of places by service; write "{key}" = {{local = "./x", …}}')
        yield Place(_named(key, path), dict(_by_provider(said, where, path)))


def _by_provider(said: Mapping[str, Any], where: str, path: Path) -> Iterator[tuple[str, str]]:
    full, met = aliases(), set[str]()
    for name, place in said.items():
        provider = full.get(name, name)
        if provider not in providers():
            known = sorted({*providers(), *full})
            raise ConfigError(f"{where}: there is no service {name!r}; {suggest(name, known)}")
        if provider in met:
            raise ConfigError(f"{where} says something for {provider!r} twice, once by its alias; keep one")
        met.add(provider)
        yield provider, _checked(provider, place, f"{where}, {name}", path)


def _checked(provider: str, place: object, where: str, path: Path) -> str:
    """Return a place on a service as it is used; raise ConfigError for one that has not its form."""
    words = words_of(provider)
    remote = words is not None and bool(words.schemes)
    example = words.examples["place"] if words is not None and remote else "./data"
    if not isinstance(place, str) or not place:
        raise ConfigError(f'{where}: a place is a text, e.g. "{example}"')
    if words is not None and remote and not words.knows("place", place):
        raise ConfigError(f"{where}: {place!r} is no place on {words.service}; one looks like {example}")
    if not remote and not is_local(place):
        raise ConfigError(f"{where}: {place!r} is no folder or file of this machine; one looks like {example}")
    return _named(place, path)


def _named(place: str, path: Path) -> str:
    """Return a place's one name: what is relative starts from the config file's folder, and no slash is at the end."""
    return absolute(local_path(place), path.parent) if is_local(place) else place.rstrip("/")


def _line_of(key: str, text: str) -> str:
    """Return where a key stands in a text of TOML; "" where it is not found as it is written here."""
    sought = re.compile(
        rf"""\s*(?:places\s*\.\s*)?["']?{re.escape(key)}["']?\s*[=.]|\s*\[places\.["']?{re.escape(key)}"""
    )
    return next((f", line {number}" for number, line in enumerate(text.splitlines(), 1) if sought.match(line)), "")
