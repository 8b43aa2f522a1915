"""Find runs by their ids, in a project and in the user's other projects."""

import contextlib
from pathlib import Path

from cloudtune.errors import RunNotFound, StoreError
from cloudtune.store.projects import known_projects
from cloudtune.store.store import RunStore, Store


def find_run(run_id: str, project: Path) -> RunStore:
    """Return the run of an id in a project or, by its whole id, in any other project of this user.

    Args:
        run_id: an id, the unambiguous beginning of one in the project, or ``latest`` of the project.
        project: the project that is searched first.

    Raises:
        RunNotFound: no run, or several runs, match the id.
    """
    try:
        return Store(project).run(run_id)
    except RunNotFound:
        elsewhere = [] if run_id == "latest" else [each for each in known_projects() if each != project.resolve()]
        for folder in elsewhere:
            with contextlib.suppress(RunNotFound, StoreError):
                found = Store(folder).run(run_id)
                if found.id == run_id:
                    return found
        raise


def refuse_shortened(given: str, run_id: str) -> None:
    """Raise RunNotFound where a run was found by the beginning of its id: what ends or removes a run, or is written down, names it whole."""
    if given not in (run_id, "latest"):
        raise RunNotFound(
            f"{given!r} is the beginning of {run_id!r}; give the whole id here, so that no other run is meant"
        )
