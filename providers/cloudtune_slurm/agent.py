"""Answer a driver's calls on the login node: ``python -m cloudtune_slurm.agent``, in the run's folder.

Reads a list of calls from standard input and prints a list of answers, both as JSON. Imports the standard library alone.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

from cloudtune.process.attempts import LOST, ending_of, unread
from cloudtune.process.keeper import append
from cloudtune.process.setting import TrialFiles
from cloudtune_slurm import commands
from cloudtune_slurm.apart import Nodes
from cloudtune_slurm.claims import NOBODY, by_itself, claim, fence, of_start, starts_of
from cloudtune_slurm.orders import BATCHES, open_batch
from cloudtune_slurm.task import files_of

_AT_ONCE = 8
"""How many nodes that do not see the folder are asked at once."""

_CANCELLED = "cancelled"
"""The file in it with the names of the tasks that drivers have cancelled."""

RUNS, ENDED, GIVEN_UP = range(3)
"""What the driver knows of a task: that it runs or waits, that it has ended, and that its files are not waited for any longer."""


def call(root: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a driver asks, all of it in one call, and return what it wants to know.

    Args:
        root: the run's folder.
        request: all of it optional: ``offer``: a batch (``name``, ``content``) for tasks that have begun; ``submit``: one
            for tasks of its own (``options``, ``script``, too); ``revoke``: [number, attempt] of attempts that are not to begin; ``fence``: of those that are to end by themselves as well,
            where they have begun; ``cancel``: tasks, as scancel takes them; ``active``:
            the name of the jobs whose tasks to list; ``ended``: ids of jobs to list, ended or not; ``shared``: what
            `files_of` needs; ``tasks``: the attempts to read, as `_news` takes them; ``direct``: whether the driver
            reads their files itself; ``apart``: the arguments of `Nodes` where nodes do not see the folder;
            ``release``: jobs there whose files have been read.

    Returns:
        ``submit``: the job's id; ``revoked``: whether each attempt will not begin; ``active`` and ``ended``: rows;
        ``tasks``: the news of each. Where a command failed, ``refused``: its name in the request, the message, and
        whether it may succeed later; the rest is done all the same.
    """
    answers: dict[str, Any] = {}
    actions: dict[str, Callable[[Any], Any]] = {
        "submit": lambda batch: _submit(root, batch),
        "cancel": lambda tasks: _cancel(root, tasks),
        "active": lambda name: [astuple(row) for row in commands.active(name)],
        "ended": lambda jobs: [astuple(row) for row in commands.ended(jobs)],
    }
    shared = request.get("shared", {})
    if "revoke" in request:
        answers["revoked"] = [_revoke(files_of(root, shared, *each)) for each in request["revoke"]]
    for number, attempt in request.get("fence", ()):
        fence(files_of(root, shared, number, attempt))
    if "offer" in request:
        open_batch(_written(root, request["offer"]), request["offer"]["name"])
    for name, action in actions.items():
        if name in request:
            try:
                answers[name] = action(request[name])
            except commands.SlurmError as error:
                passing = error.passing or (name != "submit" and not error.missing)
                answers["refused"] = [*answers.get("refused", ()), [name, str(error), passing]]
    nodes = Nodes(root, *request["apart"]) if "apart" in request else None
    if nodes is not None:
        nodes.release(request.get("release", ()))

    def news(task: Mapping[str, Any]) -> dict[str, Any]:
        if nodes is not None and task["at"]:
            return nodes.news(shared, task, files_of(root, shared, task["number"], task["attempt"]))
        return _news(root, shared, task, direct=request.get("direct", False))

    with ThreadPoolExecutor(1 if nodes is None else _AT_ONCE) as pool:
        answers["tasks"] = list(pool.map(news, request.get("tasks", ())))
    return answers


def _submit(root: Path, batch: Mapping[str, Any]) -> str:
    folder = _written(root, batch)
    job = commands.submit(batch["options"], batch["script"])
    if batch["content"]["shared"]["per_task"] is None:
        open_batch(folder, batch["name"])
    return job


def _written(root: Path, batch: Mapping[str, Any]) -> Path:
    """Write a batch for its tasks, unless it is there; return the folder."""
    folder = root / BATCHES
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{batch['name']}.json"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)  # it may hold secrets
        fresh.write_text(json.dumps(batch["content"]), "utf-8")
        fresh.rename(path)
    return folder


def _cancel(root: Path, tasks: Sequence[str]) -> None:
    """Cancel tasks, and write down before that it was the driver who did: what they run by then has not failed."""
    names = [task for task in tasks if not task.startswith("-")]
    if names:
        append(str(root / BATCHES / _CANCELLED), "".join(f"{name}\n" for name in names))
    commands.cancel(tasks)


def _is_cancelled(root: Path, task: str) -> bool:
    try:
        return task in (root / BATCHES / _CANCELLED).read_text().split()
    except FileNotFoundError:
        return False


def _revoke(files: TrialFiles) -> bool:
    """Return whether no task begins an attempt: none has begun it yet, and none will."""
    starts = starts_of(files)
    return (starts and starts[0]["task"] == NOBODY) or claim(files, NOBODY)


def _news(root: Path, shared: Mapping[str, Any], task: Mapping[str, Any], *, direct: bool) -> dict[str, Any]:
    """Return what a task has written since the last call, for `Mirror.take`.

    Args:
        root: the run's folder.
        shared: see `files_of`.
        task: ``number`` and ``attempt``; ``known`` bytes of the log and of the reports; what is known of ``state``:
            `RUNS`, `ENDED` or `GIVEN_UP`; the path of what it ``printed`` outside of its trial.
        direct: whether the log and the reports are not asked for.
    """
    claimed = files_of(root, shared, task["number"], task["attempt"])
    starts = starts_of(claimed)
    if task["state"] == GIVEN_UP and not starts and not _revoke(claimed):
        return {"starts": starts_of(claimed)}  # another task has taken it just now
    files = of_start(claimed, len(starts))
    ending = ending_of(files)  # before reading: what it wrote is there when it has ended
    if ending is not None and task["state"] == RUNS and not by_itself(ending):
        ending = None  # Slurm has ended it, and may start it again
    news, is_all = ({}, True) if direct else unread(files, *task["known"])
    found = {name: part.decode("latin-1") if isinstance(part, bytes) else part for name, part in news.items()}
    found["starts"] = starts
    if not is_all or (ending is None and task["state"] != GIVEN_UP):
        return found
    if ending is None:
        found["printed"] = _last_line(root / task["printed"])
    found["cancelled"] = bool(starts) and _is_cancelled(root, starts[-1]["task"])
    found["left"] = [name for name in ("checkpoint", "output") if any(Path(getattr(files, name)).glob("*"))]
    return {**found, "ended": dict(ending or LOST), "files": []}


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]


def main(calls: Sequence[Mapping[str, Any]]) -> None:
    """Print the answers to calls about the run in the working folder."""
    print(json.dumps([call(Path.cwd(), request) for request in calls]))


if __name__ == "__main__":
    main(json.load(sys.stdin))
