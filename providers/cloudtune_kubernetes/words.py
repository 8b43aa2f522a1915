"""Kubernetes' own words for places, from which others' are told.

Machine types and images of any cloud may be a cluster's own, so jobs are ported by their places alone.
"""

import re

from cloudtune.porting.words import ServiceWords

CLAIM = re.compile(r"pvc://([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)(?:/(.*))?")
"""A folder of a PersistentVolumeClaim: ``pvc://CLAIM/FOLDER``."""


class KubernetesWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "kubernetes"
    service = "Kubernetes"
    schemes = ("pvc://",)
    forms = {"place": CLAIM}
    examples = {"place": "pvc://…/NAME", "image": "registry.example.com/…"}
    settings = {"identity": "service_account"}
    fixed_region = "a cluster has no region to choose"
