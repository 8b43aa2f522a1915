"""Commands as messages show them: they work as they stand, where they are read."""

import shlex
from typing import TYPE_CHECKING

from cloudtune.config import project_folder
from cloudtune.projects import known_projects

if TYPE_CHECKING:
    from pathlib import Path


def command(verb: str, run_id: str, project: "Path") -> str:
    """The command that does something with a run, for the folder that this process works in.

    Args:
        verb: e.g. ``show``.
        run_id: the run's.
        project: the folder whose store has it.
    """
    found = project in (project_folder(), *known_projects())
    where = "" if found else f" -C {shlex.quote(str(project))}"
    return f"cloudtune{where} {verb} {run_id}"
