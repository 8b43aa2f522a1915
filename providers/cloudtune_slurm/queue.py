"""What the driver knows of Slurm's queue: batches on their way to it, and the states of all tasks, asked for together."""

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cloudtune.driver.launcher import Queued, Remark
from cloudtune.errors import ProviderError
from cloudtune_slurm.site import Site
from cloudtune_slurm.states import FULL, RETRIES, TOO_LARGE, Row, waiting
from cloudtune_slurm.tasks import Batch, Task

SOON = 2.0
"""Seconds after a submission until Slurm is asked about it."""

_AGAIN = 5.0
"""Seconds until a command is tried again that Slurm could not answer."""

_ENDING = 60.0
"""Seconds to wait for cancelled tasks to end: twice Slurm's default of KillWait."""

_ENDING_PAUSE = 0.3


class Queue:
    """The queue of the jobs of one run.

    Args:
        site: the cluster.
        name: of the run's jobs.
        interval: seconds between two questions to the controller.
        patience: seconds for which a cluster that does not answer is waited for.
    """

    def __init__(self, site: Site, name: str, interval: float, patience: float) -> None:
        self._site, self._name, self._interval, self._patience = site, name, interval, patience
        self._batches: dict[str, Batch] = {}
        self._to_submit: list[Batch] = []
        self._rows: list[Row] | None = None
        self._pending: set[str] = set()
        self._next_look = self._next_try = self._next_submit = 0.0
        self._full = False
        self._trouble: tuple[float, str] | None = None
        self._remarks: list[str] = []

    # An answer that does not come

    @contextlib.contextmanager
    def tolerated(self) -> Iterator[None]:
        """Suppress an error of the site within the context, for as long as its patience lasts; note the first.

        Raises:
            ProviderError: it cannot be reached for too long.
        """
        try:
            yield
        except ProviderError as error:
            if not error.retryable:
                raise
            self._no_answer(str(error))
        else:
            self._trouble = self._trouble if self._trouble and self._trouble[1].startswith("Slurm") else None

    def _no_answer(self, why: str) -> None:
        now = time.monotonic()
        if self._trouble is None:
            self._trouble = (now, why)
            self._remarks.append(f"{why}; it is waited for")
        self._next_try = now + _AGAIN
        if now - self._trouble[0] > self._patience:
            raise ProviderError(f"{why}, and has not for {self._patience:.0f} s", retryable=True)

    def _ask(self, **request: Any) -> dict[str, Any] | None:
        """Return the answers to what is asked of Slurm; None where there is none, which may have been carried out.

        Raises:
            ProviderError: Slurm refuses for good, but for a submission; or it has not answered for too long.
        """
        try:
            answer = self._site.call(request)
        except ProviderError as error:
            if not error.retryable:
                raise
            self._no_answer(str(error))
            return None
        for asked, why, passing in answer.get("refused", ()):
            if asked == "submit" and (FULL.search(why) or TOO_LARGE.search(why)):
                answer["full"] = why
                continue
            if passing:
                self._no_answer(f"Slurm does not answer ({why})")
                return None
            if asked != "submit":
                raise ProviderError(f"{asked}: {why}")
            answer["wrong"] = why
        if self._trouble is not None:
            self._trouble = None
            self._remarks.append("Slurm answers again")
        return answer

    # Submissions

    def batch(self, name: str) -> Batch:
        """Return a batch of an earlier driver."""
        found = self._batches.setdefault(name, Batch(name, tried=True))
        found.job = found.job or next((row.job for row in self._known() if row.batch == name), "")
        return found

    def knows(self, batch: str) -> bool:
        """Return whether Slurm has tasks of a batch that have not ended; asks it once."""
        return any(row.batch == batch for row in self._known())

    def _known(self) -> list[Row]:
        while self._rows is None:
            answer = self._ask(active=self._name)
            if answer is None:
                time.sleep(1.0)
            else:
                self._rows = self._heard(answer["active"])
        return self._rows

    def _heard(self, active: Iterable[Sequence[Any]]) -> list[Row]:
        rows = [Row(*row) for row in active]
        self._pending = {row.name for row in rows if row.waits}
        return rows

    def add(self, batch: Batch) -> None:
        """Let a batch be submitted next."""
        self._batches[batch.name] = batch
        self._to_submit.append(batch)
        self._next_try = 0.0

    def holds(self, batch: Batch) -> bool:
        """Return whether a batch is still to be submitted."""
        return batch in self._to_submit

    def submit(self) -> tuple[dict[str, str], list[Batch]]:
        """Submit the batches that have not been.

        Returns:
            Why Slurm refuses batches for good, by their names; the batches of which it may take fewer tasks.
        """
        refused: dict[str, str] = {}
        too_many: list[Batch] = []
        while self._to_submit and time.monotonic() >= max(self._next_try, self._next_submit):
            batch = self._to_submit[0]
            if batch.tried and self._arrived(batch) is not False:
                if batch.job:
                    self._to_submit.pop(0)
                continue
            batch.tried = True
            answer = self._ask(submit=batch.content)
            if answer is None:
                continue
            full = answer.get("full", "")
            if RETRIES in full and self._arrived(batch) is not False:
                continue  # it was taken just before sbatch was ended
            batch.tried = not full
            if full and batch.tasks == 1 and FULL.search(full):
                self._wait_for_room(full)
                break
            self._to_submit.pop(0)
            if full and batch.tasks > 1:
                too_many.append(batch)
                continue
            batch.content, batch.job = None, answer.get("submit", "")
            if batch.job:
                self._full = False
                self._pending |= {f"{batch.job}_{index}" for index in range(batch.tasks)}
            elif why := full or answer.get("wrong", ""):
                refused[batch.name] = why
            self._next_look = min(self._next_look, time.monotonic() + SOON)
        return refused, too_many

    def _wait_for_room(self, why: str) -> None:
        """Submit no more until some of what Slurm has may have ended; running tasks are looked after meanwhile."""
        if not self._full:
            self._remarks.append(
                f"Slurm takes no more jobs for now ({why}); what is left is submitted when others have ended"
            )
        self._full, self._next_submit = True, time.monotonic() + self._interval

    def _arrived(self, batch: Batch) -> bool | None:
        """Find the job of a submission without an answer by its name; return None if Slurm does not answer again."""
        answer = self._ask(active=self._name)
        if answer is None:
            return None
        batch.job = next((row.job for row in (Row(*each) for each in answer["active"]) if row.batch == batch.name), "")
        return bool(batch.job)

    # States

    def look(self, tasks: Collection[Task]) -> None:
        """Ask Slurm for the states of all tasks, if that is due."""
        asked = [
            task for task in tasks if task.starts or task.batch.job or (task.batch.tried and not task.batch.content)
        ]
        now = time.monotonic()
        if not asked or now < max(self._next_look, self._next_try):
            return
        answer = self._ask(active=self._name)
        if answer is None:
            return
        self._next_look = time.monotonic() + self._interval
        rows = self._rows = self._heard(answer["active"])
        names, batches = {row.name: row for row in rows}, _by_batch(rows)
        missing = []
        for task in asked:
            row = _of_task(task, names, batches)
            if row is None:
                missing.append(task)
                continue
            task.row, task.gone, task.seen = row, None, len(task.starts)
            task.batch.job = task.batch.job or ("" if task.starts else row.job)
        if not all(task.heard for task in missing):
            self._next_look = 0.0  # an earlier driver's: which task has it is known once its files are read
        self._look_up([task for task in missing if task.gone is None and task.heard])

    def _look_up(self, missing: Collection[Task]) -> None:
        """Ask how tasks have ended that Slurm no longer lists."""
        jobs = sorted({task.slurm_name.partition("_")[0] for task in missing} - {""})
        answer = self._ask(ended=jobs) if missing else None
        if answer is None:
            return
        rows = [Row(*each) for each in answer["ended"]]
        names, jobs_rows = {row.name: row for row in rows}, {row.job: row for row in rows}
        for task in missing:
            row = names.get(task.slurm_name)
            if row is None and not task.starts:
                row = jobs_rows.get(task.batch.job)  # any of its batch could have taken it
            if row is not None and row.batch not in ("", task.claimed_in):
                row = None  # a controller that lost its state has given the id to another array
            if row is None or row.ended:
                task.row, task.gone = row, time.monotonic()

    @property
    def pending(self) -> int:
        """How many tasks wait in Slurm's queue, as far as is known."""
        return len(self._pending)

    def begun(self, name: str) -> None:
        """Note that a task has begun."""
        self._pending.discard(name)

    def cancel_pending(self, but: Collection[str]) -> None:
        """Cancel the tasks that wait but for some, as there is nothing for them to run."""
        names = sorted(self._pending.difference(but))
        if names and time.monotonic() >= self._next_try and self._ask(cancel=names) is not None:
            self._pending.difference_update(names)

    def cancel(self, tasks: Collection[Task]) -> bool:
        """Cancel tasks; return whether Slurm took it."""
        names = [task.slurm_name for task in tasks if task.slurm_name]
        if names and (time.monotonic() < self._next_try or self._ask(cancel=names) is None):
            return False
        for task in tasks:
            task.cancelled = bool(task.slurm_name) or task.batch.content is not None
        self._next_look = min(self._next_look, time.monotonic() + SOON)
        return True

    # What the user is told

    def queued(self, tasks: Collection[Task]) -> Iterator[Queued]:
        """Yield what tasks wait for, where that is new."""
        for task in tasks:
            why = "" if task.row is None or not task.waits else waiting(task.row.reason)
            if why and why != task.told and not task.stopping:
                task.told = why
                yield Queued(task.number, task.attempt, why)

    def remarks(self, tasks: Collection[Task]) -> Iterator[Remark]:
        """Yield what is new of Slurm itself, as remarks on the first trial."""
        first = next(iter(tasks), None)
        if first is not None:
            said, self._remarks = self._remarks, []
            yield from (Remark(first.number, first.attempt, text) for text in said)


def _by_batch(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.batch, []).append(row)
    return found


def _of_task(task: Task, names: Mapping[str, Row], batches: Mapping[str, Sequence[Row]]) -> Row | None:
    """Return the row of the task that has an attempt; where none has it yet, that of one which can take it."""
    row = names.get(task.slurm_name)
    if task.starts or (row is not None and row.batch == task.batch.name):
        return row if row is not None and row.batch == task.claimed_in else None
    can = batches.get(task.batch.name, ())
    return next((row for row in can if row.waits), can[0] if can else None)


def ending(site: Site, name: str) -> str:
    """Cancel all jobs of a name and wait until they have ended; return why that cannot be done, "" if it was."""
    until = time.monotonic() + _ENDING
    while True:
        try:
            answer = site.call({"cancel": [f"--name={name}"], "active": name})
        except ProviderError as error:
            return str(error)
        refused, left = answer.get("refused", ()), answer.get("active", ())
        if refused:
            return str(refused[0][1])
        if not left:
            return ""
        if time.monotonic() > until:
            return f"{len(left)} tasks have not ended within {_ENDING:.0f} s"
        time.sleep(_ENDING_PAUSE)
