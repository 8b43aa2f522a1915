"""Kubernetes' own words for places, from which others' are told.

Machine types and images of any cloud may be a cluster's own, so jobs are ported by their places alone.
"""

import re

from cloudtune.porting.words import ServiceWords

CLAIM = re.compile(r"pvc://([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)(?:/(.*))?")
"""A folder of a PersistentVolumeClaim: ``pvc://CLAIM/FOLDER``."""


STORES = {
    "s3": re.compile(r"s3://([^/]+)(?:/(.*))?"),
    "gs": re.compile(r"gs://([^/]+)(?:/(.*))?"),
    "azure": re.compile(
        r"(?:https://[^/]+\.blob\.[^/]+|http://(?:127\.0\.0\.1|localhost)(?::\d+)?/[^/]+)/[^/]+(?:/.*)?"
    ),
}
"""How places for what travels are written, by their kind; the last one on this machine is that of Azurite, an emulator."""

STORE_EXAMPLES = "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER"


def kind_of(place: str) -> str:
    """Return the kind of a place.

    Raises:
        ValueError: it is none of them.
    """
    for kind, form in STORES.items():
        if form.fullmatch(place):
            return kind
    raise ValueError(f"{place!r} is none of {STORE_EXAMPLES}")


class KubernetesWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "kubernetes"
    service = "Kubernetes"
    schemes = ("pvc://",)
    forms = {"place": CLAIM}
    examples = {"place": "pvc://…/NAME", "image": "registry.example.com/…"}
    settings = {"identity": "service_account"}
    has_regions = False
