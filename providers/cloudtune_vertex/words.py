"""Vertex AI's own words for places, service accounts and machine types."""

from cloudtune.porting.words import ServiceWords
from cloudtune_vertex.machines import MACHINE
from cloudtune_vertex.values import ACCOUNT, BUCKET


class VertexWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "vertex"
    service = "Vertex AI"
    schemes = ("gs://",)
    forms = {"place": BUCKET.form, "identity": ACCOUNT.form, "machine": MACHINE}
    examples = {"place": "gs://…/NAME", "image": "….pkg.dev/…"}
    settings = {"identity": "service_account", "instance": "machine", "region": "location"}
