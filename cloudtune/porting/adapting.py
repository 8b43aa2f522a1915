"""The stage before a provider's plan."""

from cloudtune.porting.adapted import Adapted
from cloudtune.porting.change import Change
from cloudtune.porting.identities import port_identity
from cloudtune.porting.images import port_image
from cloudtune.porting.inputs import port_data, port_output
from cloudtune.porting.machines import port_machines
from cloudtune.porting.regions import port_region
from cloudtune.porting.tables import Tables
from cloudtune.porting.words import ServiceWords
from cloudtune.spec.job import TuningJob

_STEPS = (port_data, port_output, port_machines, port_image, port_identity, port_region)
"""In this order: an image is chosen by the machine."""


def adapt(job: TuningJob, words: ServiceWords, tables: Tables) -> Adapted:
    """Return a job in the words of one service. Pure: no network, no files; the same job again changes nothing.

    Args:
        job: the spec as it is written.
        words: of the service.
        tables: what the config says.
    """
    change = Change(job, words, tables)
    for step in _STEPS:
        step(change)
    return Adapted(change.job, tuple(change.notes), tuple(change.missing))
