"""What a profile or the config has to say before a job can run elsewhere, as the lines to add to ``cloudtune.toml``."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

PLACES = "places"
"""The table of the config that says where the same data lies on each service."""


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that a job needs on a service and that neither the job nor the config says.

    Attributes:
        path: the field of the spec that needs it, e.g. ``data.train``.
        table: the table of ``cloudtune.toml`` that may say it: ``places``, or ``profiles.NAME``.
        key: the key in that table: a place, or a setting.
        value: an example with ``…`` in the place of what only the user knows.
        service: the provider that needs a place; "" for a setting.
        provider: the provider that a profile has to name because the config does not have the profile; "" if it has it.
    """

    path: str
    table: str
    key: str
    value: str
    service: str = ""
    provider: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Return what `to_data` returned data for."""
        return cls(**data)


def lines_to_add(missing: Iterable[Missing]) -> list[str]:
    """Return the lines of TOML that say all of it, each table once; ready to paste but for ``…``."""
    tables: dict[str, dict[str, str]] = {}
    places: dict[str, dict[str, str]] = {}
    for each in missing:
        if each.table == PLACES:
            places.setdefault(each.key, {})[each.service] = each.value
            continue
        own = tables.setdefault(each.table, {"provider": each.provider} if each.provider else {})
        own[each.key] = each.value
    lines = [_line(key, _inline(by_service)) for key, by_service in places.items()]
    found = [f"[{PLACES}]", *lines] if lines else []
    for table, settings in tables.items():
        found += [f"[{table}]", *(_line(key, _text(value)) for key, value in settings.items())]
    return found


def _line(key: str, value: str) -> str:
    return f"{key if key.isidentifier() and key.isascii() else _text(key)} = {value}"


def _inline(values: dict[str, str]) -> str:
    return "{" + ", ".join(_line(name, _text(value)) for name, value in values.items()) + "}"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a basic string of TOML
