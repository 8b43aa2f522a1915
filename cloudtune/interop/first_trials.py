"""First trials of jobs that are imported: points that another tool would have tried first."""

from collections.abc import Iterable, Mapping
from typing import Any

from cloudtune.interop.formats import Note
from cloudtune.space.completing import why_impossible
from cloudtune.space.parameters import Scalar
from cloudtune.spec.job import TuningJob


def with_first(
    job: TuningJob, points: Iterable[Mapping[str, Scalar]], names: Mapping[str, str], what: str
) -> tuple[TuningJob, list[Note]]:
    """Return a job with further first trials, and a note about them, and about each that its space does not have.

    Args:
        job: the job.
        points: values by the source's names of the parameters.
        names: the job's names by these.
        what: how the source calls them.
    """
    space, first, notes = job.search_space(), list(job.first), []
    for point in points:
        given = {names.get(name, name): value for name, value in point.items()}
        problems = why_impossible(space, given)
        if problems:
            why = "; ".join(f"{name}: {message}" for name, message in problems)
            notes.append(Note(what, f"{dict(point)} is left out: {why}"))
        elif given:
            first.append(given)
    count = len(first) - len(job.first)
    if not count:
        return job, notes
    notes.insert(
        0,
        Note(
            what,
            f"{'it is its' if count == 1 else f'they are its {count}'} first trial{'s' if count > 1 else ''} (first)",
        ),
    )
    update: dict[str, Any] = {"first": tuple(first)}
    if job.limits.trials is not None and job.limits.trials < len(first):
        update["limits"] = job.limits.model_copy(update={"trials": len(first)})
        notes.append(Note(what, f"limits.trials is {len(first)}, for them alone"))
    return job.model_copy(update=update), notes
