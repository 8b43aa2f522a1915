"""Commands as messages show them, for the folder in which the message is read."""

import os
import re
import shlex
from pathlib import Path

from cloudtune.store.projects import known_projects, project_folder


def command(verb: str, run_id: str, project: Path) -> str:
    """Return the command that does something with a run, for the folder that this process works in.

    Args:
        verb: e.g. ``show``.
        run_id: the run's.
        project: the folder whose store holds the run.
    """
    known = project.resolve() in known_projects()
    return f"cloudtune {verb} {run_id}" if known else command_in(project, verb, run_id)


def command_in(project: Path, *words: str) -> str:
    """Return a command that works in a project, for the folder that this process works in.

    Args:
        project: the folder with the store.
        words: of the command, e.g. ``ls``.
    """
    here = project.resolve() == project_folder(Path.cwd())
    return shlex.join(["cloudtune", *([] if here else ["-C", str(project)]), *words])


def learning_from(run_id: str, job: str = "JOB.yaml") -> str:
    """Return the command of a new run that learns from an earlier one.

    Args:
        run_id: the earlier run's.
        job: the file of the new job, as a word of the command.
    """
    return f"cloudtune run {job} --set 'warm_start=[{run_id}]'"


def as_read_here(text: str, run_id: str, project: Path) -> str:
    """Return a text from the store, such as the reason of a run's end, with its commands as they work here.

    Args:
        text: written by the run's driver process, which may have worked in another folder.
        run_id: of the run.
        project: the folder whose store holds the run.
    """
    pattern = rf"cloudtune ([a-z]+) {re.escape(run_id)}(?![\w-])"
    return re.sub(pattern, lambda found: command(found[1], run_id, project), text)


def path_word(path: Path) -> str:
    """Return a path as a word of a command: quoted, and never an option, even if it begins with a dash."""
    text = os.fspath(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
