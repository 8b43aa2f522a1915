"""Databricks' own words for places, from which others' are told.

Machine types are those of the workspace's cloud, so jobs are ported by their places alone.
"""

import re

from cloudtune.porting.words import ServiceWords

SCHEME = "dbfs://"
"""How places on volumes begin in a job, before ``/Volumes``: the URI of Databricks' documents, ``dbfs:/Volumes/…``, with its empty host."""

PLACE = re.compile(r"dbfs:///Volumes/([^/\s]+)/([^/\s]+)/([^/\s]+)(?:/(\S*))?")
"""A folder of a volume of Unity Catalog: catalog, schema, volume, and the path below it (https://docs.databricks.com/aws/volumes)."""

_SPELLINGS = re.compile(r"(?:dbfs:)?(/Volumes/.+)")

EXAMPLE = "/Volumes/CATALOG/SCHEMA/VOLUME/FOLDER"


def spelled(place: str) -> str:
    """Return a place in the one spelling by which volumes are known here; what is none stays as it is."""
    found = _SPELLINGS.fullmatch(place)
    return f"{SCHEME}{found[1]}" if found else place


def path_of(place: str) -> str:
    """Return the path of a place on a volume, as programs and the Files API know it."""
    return place.removeprefix(SCHEME).rstrip("/")


class DatabricksWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "databricks"
    service = "Databricks"
    schemes = ("dbfs:///Volumes/",)
    forms = {"place": PLACE}
    examples = {"place": "dbfs:///Volumes/main/default/…/NAME", "image": "registry.example.com/…"}
    settings = {"output": "volume"}
    has_regions = False
