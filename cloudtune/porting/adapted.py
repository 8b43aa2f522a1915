"""A job in the words of one service; that of a place without regions. Light: a local run loads nothing else of this room."""

from dataclasses import dataclass, replace

from cloudtune.errors import Problem, UnsupportedError
from cloudtune.planning.missing import Missing, lines_to_add
from cloudtune.planning.plan import Note, Plan, Support, covers, said_for
from cloudtune.spec.job import TuningJob


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


def without_region(job: TuningJob) -> tuple[TuningJob, tuple[Note, ...]]:
    """Return a job for a place that has no regions, and what became of the job's."""
    if job.region is None:
        return job, ()
    here = (Support.APPROXIMATE, "of no effect: there is no region to choose here")
    said = (
        {"region": here} if isinstance(job.region, str) else {f"region.{name}": said_for(name) for name in job.region}
    )
    notes = (Note(path, *(each if each[0] is Support.UNSUPPORTED else here)) for path, each in said.items())
    return job.model_copy(update={"region": None}), tuple(notes)
