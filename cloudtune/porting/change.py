"""A job while it is ported: what was changed so far, with a note each, and what is missing."""

import re
from collections.abc import Mapping
from functools import cached_property

from cloudtune.errors.masking import masked_text
from cloudtune.machines.catalogue import Catalogue
from cloudtune.planning.missing import PLACES, Missing
from cloudtune.planning.plan import Note, Support
from cloudtune.porting.places import without_query
from cloudtune.porting.tables import Tables
from cloudtune.porting.words import ServiceWords
from cloudtune.spec.job import TuningJob

Said = str | dict[str, str] | None
"""A setting of a job: one text for all, one a provider, or nothing."""


class Change:
    """One port of one job.

    Args:
        job: the spec as it is written.
        words: of the service that it is ported to.
        tables: what the config says.
    """

    def __init__(self, job: TuningJob, words: ServiceWords, tables: Tables) -> None:
        self.job = job
        self.words = words
        self.tables = tables
        self.notes: list[Note] = []
        self.missing: list[Missing] = []

    @cached_property
    def catalogue(self) -> Catalogue:
        """The machines of this service, with the user's prices."""
        return self.tables.catalogue(self.words.provider)

    @property
    def region(self) -> str:
        """The region whose prices count."""
        return self.default("region") or self.catalogue.region

    def default(self, name: str) -> str | None:
        """Return what the profile says by a neutral name; None where it says nothing."""
        return self.tables.default(name, self.words)

    def said(self, value: Said) -> str | None:
        """Return what a setting says for this service."""
        return value.get(self.words.provider) if isinstance(value, dict) else value

    def names_service(self, value: Said) -> bool:
        """Return whether a setting says something for this service alone, which is taken as it stands."""
        return isinstance(value, dict) and self.words.provider in value

    def replaced(self, value: Said, there: str | None) -> Said:
        """Return a setting that says `there` for this service: what it says for other services stays."""
        if not isinstance(value, dict):
            return there
        others: Mapping[str, str] = {name: said for name, said in value.items() if name != self.words.provider}
        return {**others, self.words.provider: there} if there is not None else dict(others)

    def update(self, part: str = "", **fields: object) -> None:
        """Replace fields of the job, or of a part of it.

        Args:
            part: the field that holds the part, such as ``trial``; "" for the job itself.
            fields: the new values by name.
        """
        if part:
            fields = {part: getattr(self.job, part).model_copy(update=fields)}
        self.job = self.job.model_copy(update=fields)

    def note(self, path: str, support: Support, message: str) -> None:
        """Note what a field of the job as written became; a secret in it, such as the signature of a URL, is masked."""
        self.notes.append(Note(path, support, masked_text(message)))

    def miss_place(self, path: str, place: str, message: str) -> None:
        """Refuse a field whose place is not known on this service, and list the line that would say it."""
        self.note(path, Support.UNSUPPORTED, message)
        example = self.words.examples["place"].replace("NAME", _last(place))
        self.missing.append(
            Missing(path, PLACES, without_query(place).rstrip("/"), example, service=self.words.provider)
        )

    def miss_setting(self, path: str, name: str, example: str, message: str) -> None:
        """Refuse a field that the profile has to give a default for, and list the line that would.

        Args:
            path: of the field.
            name: the setting's neutral name.
            example: a value with ``…`` in the place of what only the user knows.
            message: what is wrong.
        """
        self.note(path, Support.UNSUPPORTED, message)
        profile = self.tables.profile or self.words.provider
        unnamed = "" if self.tables.configured else self.words.provider
        self.missing.append(Missing(path, f"profiles.{profile}", name, example, provider=unnamed))


def _last(place: str) -> str:
    """Return the last part of a place, as a suggestion for its name elsewhere."""
    return re.split(r"[/:\\]", without_query(place).rstrip("/"))[-1] or "data"
