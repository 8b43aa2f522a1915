"""Vertex AI's own words for places, service accounts, machine types and images."""

import re

from cloudtune.porting.words import ServiceWords
from cloudtune_vertex.images import VertexImages
from cloudtune_vertex.machines import MACHINE
from cloudtune_vertex.values import ACCOUNT, BUCKET

_IMAGE = re.compile(r"(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io)/.+")
"""Artifact Registry and Container Registry (https://cloud.google.com/artifact-registry/docs/docker/names)."""

_GPUS = re.compile(r"(?:a2|a3|a4x?|g2|g4)-.+")
"""Machine types that come with GPUs (https://cloud.google.com/compute/docs/gpus)."""

_ACCELERATOR = re.compile(r"(?:NVIDIA|TPU)_[A-Z0-9_]+")
"""The names of `AcceleratorType`."""


class VertexWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "vertex"
    service = "Vertex AI"
    schemes = ("gs://",)
    forms = {
        "place": BUCKET.form,
        "identity": ACCOUNT.form,
        "machine": MACHINE,
        "image": _IMAGE,
        "accelerator": _ACCELERATOR,
    }
    with_gpu = _GPUS
    examples = {"place": "gs://…/NAME", "image": "….pkg.dev/…"}
    settings = {"identity": "service_account", "instance": "machine", "region": "location"}
    images = VertexImages()
