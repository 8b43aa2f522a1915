"""The stage before a provider's plan."""

from dataclasses import dataclass, replace

from cloudtune.errors import Problem, UnsupportedError
from cloudtune.planning.missing import Missing, lines_to_add
from cloudtune.planning.plan import Note, Plan, Support, covers
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


@dataclass(frozen=True, slots=True)
class Adapted:
    """A job in the words of one service.

    Attributes:
        job: the spec for that service's provider; what nothing is known of is as it was.
        notes: one for each field that was changed, or cannot be.
        missing: what neither the job nor the config says.
    """

    job: TuningJob
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()

    def on(self, plan: Plan) -> Plan:
        """Return the plan of `job` as one of the job as written: with a note for each field that was changed."""
        lacking = [each.path for each in self.missing]
        own = [note for note in plan.notes if note.support is not Support.UNSUPPORTED or not _covered(note, lacking)]
        return replace(plan, notes=(*own, *self.notes), missing=(*plan.missing, *self.missing))

    def refuse(self, provider: str) -> None:
        """Raise UnsupportedError, with the lines to add to ``cloudtune.toml``, if something is missing or not possible."""
        bad = [Problem(note.path, note.message) for note in self.notes if note.support is Support.UNSUPPORTED]
        if bad:
            raise UnsupportedError(provider, bad, lines_to_add(self.missing))


def _covered(note: Note, paths: list[str]) -> bool:
    """Return whether a note is about one of the fields that are refused here already."""
    return any(covers(path, note.path) for path in paths)


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
