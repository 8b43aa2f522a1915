"""Run trials as tasks of job arrays: gather those that can start together, submit them at once, and look after all of them."""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudtune.driver.launcher import Ended, Queued, Remark, TrialUpdate
from cloudtune.driver.polling import PollingLauncher
from cloudtune.process.agent import place_of
from cloudtune.process.logs import sample
from cloudtune.process.mirror import Mirror
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.store.records import Trial
from cloudtune_slurm.batches import MOST, Briefing
from cloudtune_slurm.queue import Queue
from cloudtune_slurm.settings import SlurmSettings
from cloudtune_slurm.site import Site
from cloudtune_slurm.states import HELD, HOPELESS, refusal
from cloudtune_slurm.supply import Supply
from cloudtune_slurm.task import YOUNG
from cloudtune_slurm.tasks import Batch, Task
from cloudtune_slurm.verdicts import judged

GATHER = 1.0
"""Seconds for which trials are gathered at most, while more are suggested."""

ENOUGH = 4
"""Trials are gathered again once fewer than one in so many of those at once wait in Slurm's queue."""


class SlurmLauncher(PollingLauncher):
    """Runs trials as tasks of arrays; they outlive their driver, and the next one takes them over.

    Args:
        site: the cluster, which the launcher closes.
        briefing: what batches are made of.
        settings: of the profile.
        settle: seconds that files of a node take at most to be seen.

    Raises:
        ProviderError: the login node or the shared folder cannot be used.
    """

    def __init__(self, site: Site, briefing: Briefing, settings: SlurmSettings, settle: float) -> None:
        super().__init__()
        self._site, self._briefing, self._setting = site, briefing, briefing.setting
        self._poll_interval, self._settle = settings.poll, settle
        self._patterns = metric_patterns(self._setting.job.measured, self._setting.job.metrics, heard=False)
        self._tasks: dict[int, Task] = {}
        self._gathered: list[Task] = []
        self._batch = Batch("")
        self._gathering = 0.0
        try:
            site.connect()
            self._root = site.root()
        except BaseException:
            site.close()
            raise
        self._queue = Queue(site, briefing.name, settings.interval, settings.patience)
        self._supply = Supply(site, self._queue, briefing)
        self._look_took = 0.0
        self._fetched: list[str] = []
        self._direct = site.direct and briefing.local is None
        if briefing.local is not None:
            self._poll_interval = max(self._poll_interval, settings.interval)  # a step of Slurm for each look

    # Where there is room

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    def room(self) -> int | None:
        """Return how many more trials to gather: none while enough of them wait, as later ones are suggested by more results.

        Few and large arrays are also what Slurm's controller likes best.
        """
        if self._gathered:
            return MOST - len(self._gathered)
        waiting = sum(not task.starts and task.gone is None for task in self._tasks.values())
        return MOST if waiting <= self._setting.job.limits.parallel // ENOUGH else 0

    def place(self, trial: Trial) -> str:
        return self._setting.place(trial)

    def outlives(self, trial: Trial) -> bool:
        task = self._tasks.get(trial.number)
        return task is not None and task.batch.out

    def printed(self, trial: Trial) -> Sequence[str]:
        return sample(self._setting.files(trial).log)

    def billed(self, trial: Trial) -> float:
        task = self._tasks.get(trial.number)
        return 0.0 if task is None else task.seconds()

    # Trials

    def launch(self, trial: Trial) -> None:
        if not self._gathered:
            self._gathering = time.monotonic()
            self._batch = Batch(secrets.token_hex(4))
        task = self._take_up(trial, self._batch, len(self._gathered) // (self._briefing.per_task or 1))
        task.mirror.forget()
        self._gathered.append(task)

    def adopt(self, trial: Trial) -> bool:
        """Take over an attempt, unless its batch was never submitted: it is claimed then, and can be started as another."""
        try:
            name, index = self._note(trial).read_text().split()
        except FileNotFoundError:
            return False
        revoke = {"shared": self._briefing.shared, "revoke": [(trial.number, trial.attempt)]}
        if not self._queue.knows(name) and self._site.call(revoke)["revoked"] == [True]:
            return False
        self._take_up(trial, self._queue.batch(name), int(index)).told = trial.reason if trial.queued else ""
        return True

    def _take_up(self, trial: Trial, batch: Batch, index: int) -> Task:
        mirror = Mirror(trial, self._setting.files(trial), self._patterns)
        task = self._tasks[trial.number] = Task(mirror, batch, index)
        return task

    def _note(self, trial: Trial) -> Path:
        """Return the file that says in which batch an attempt was submitted."""
        return Path(f"{self._setting.files(trial).record}.batch")

    def stop(self, number: int) -> None:
        task = self._tasks.get(number)
        if task is not None:
            task.stopping = True
            self._next_poll = 0.0  # with the next poll, for all of them together

    # Polling

    def poll(self, timeout: float) -> Sequence[TrialUpdate]:
        gathered = timeout > 0 or len(self._gathered) >= MOST or time.monotonic() - self._gathering > GATHER
        if self._gathered and gathered:  # else the driver has more to launch
            self._submit()
            self._next_poll = 0.0
        return super().poll(timeout)

    def _pause(self) -> float:
        return self._supply.pause(self._poll_interval, self._look_took)

    def _submit(self) -> None:
        """Bring what was gathered to tasks, as one batch."""
        with self._queue.tolerated():
            for task in self._gathered:
                self._make_ready(task)
            self._fill(self._batch, self._gathered)
            self._supply.bring(self._batch, self._tasks.values())
            self._gathered = []

    def _make_ready(self, task: Task) -> None:
        """Write down in which batch an attempt is, and bring its checkpoint to the cluster."""
        trial = task.mirror.trial
        self._setting.inherit(trial)
        self._note(trial).parent.mkdir(parents=True, exist_ok=True)
        self._note(trial).write_text(f"{task.batch.name} {task.index}")
        if not self._site.direct:
            self._site.send(Path(task.mirror.files.checkpoint), f"{place_of(task.number)}/checkpoint")

    def _poll_place(self) -> None:
        began = time.monotonic()
        self._end_refused()
        self._stop_asked()
        self._queue.look(self._tasks.values())
        # Before the ends: the trial that remarks are told of may be among them.
        self._updates.extend(self._queue.remarks(self._tasks.values()))
        self._read()
        self._end_hopeless()
        self._supply.tend(self._tasks.values())
        self._updates.extend(self._queue.queued(self._tasks.values()))
        self._look_took = time.monotonic() - began

    def _end_refused(self) -> None:
        """Submit what has not been, and end the trials of batches that Slurm refuses."""
        why, too_many = self._queue.submit()
        for batch in too_many:
            self._split(batch)
        refused = [task for task in self._tasks.values() if task.batch.name in why and not task.starts]
        offered = [task for task in refused if task.batch.offered is not None]
        for task in [*(task for task in refused if task not in offered), *self._revoked(offered)]:
            self._end(task, Ended(task.number, task.attempt, refusal(why[task.batch.name]), billed=0.0))

    def _split(self, batch: Batch) -> None:
        """Submit a batch in two halves of which Slurm takes no array of this size; one that was offered with fewer tasks."""
        if batch.offered is not None:
            self._supply.fewer(batch)
            return
        tasks = [task for task in self._tasks.values() if task.batch is batch]
        per_task = self._briefing.per_task or 1
        half = batch.tasks // 2 * per_task
        for part in filter(None, (tasks[:half], tasks[half:])):
            made = Batch(secrets.token_hex(4))
            for position, task in enumerate(part):
                task.batch, task.index = made, position // per_task
                self._note(task.mirror.trial).write_text(f"{made.name} {task.index}")
            self._fill(made, part)
            self._queue.add(made)

    def _fill(self, batch: Batch, tasks: Sequence[Task]) -> None:
        """Give a batch its content, and as many tasks as its trials take."""
        batch.content = self._briefing.batch(batch.name, self._root, [task.mirror.trial for task in tasks])
        batch.tasks = tasks[-1].index + 1

    def _stop_asked(self) -> None:
        """End the trials that are to end; those that have not begun have ended by it."""
        asked = [task for task in self._tasks.values() if task.stopping and not task.cancelled]
        alone = [task for task in asked if self._is_alone(task)]
        fenced = [task for task in asked if task not in alone]
        told = alone if alone and self._queue.cancel(alone) else []
        told += fenced if fenced and self._fence(fenced) else []
        for task in self._revoked([task for task in told if not task.starts]):
            why = "it was stopped by its driver before it began"
            self._end(task, Ended(task.number, task.attempt, why, lost=True, billed=0.0))

    def _is_alone(self, task: Task) -> bool:
        """Return whether the task of a trial runs no other after it, so that it can be cancelled."""
        if self._briefing.per_task is None:
            return task.age() > YOUNG
        return self._briefing.per_task == 1

    def _fence(self, tasks: Sequence[Task]) -> bool:
        """Let attempts end, or not begin, while their tasks go on with others; return whether they were told."""
        with self._queue.tolerated():
            asked = [(task.number, task.attempt) for task in tasks]
            self._site.call({"shared": self._briefing.shared, "fence": asked})
            for task in tasks:
                task.cancelled = True
        return all(task.cancelled for task in tasks)

    def _revoked(self, tasks: Sequence[Task]) -> list[Task]:
        """Return those tasks that will not begin, because their attempts are claimed."""
        if not tasks:
            return []
        asked = [(task.number, task.attempt) for task in tasks]
        revoked: Sequence[bool] = [False] * len(tasks)
        with self._queue.tolerated():
            revoked = self._site.call({"shared": self._briefing.shared, "revoke": asked})["revoked"]
        return [task for task, gone in zip(tasks, revoked, strict=True) if gone]

    def _end_hopeless(self) -> None:
        """Cancel the tasks that Slurm would let wait for ever."""
        hopeless = [task for task in self._tasks.values() if task.reason in HOPELESS | HELD and not task.stopping]
        if not hopeless or not self._queue.cancel(hopeless):
            return
        begun = [task for task in hopeless if task.starts]
        for task in [*begun, *self._revoked([task for task in hopeless if not task.starts])]:
            if task.reason in HELD:
                self._lose(task, HELD[task.reason])
            else:
                why = f"Slurm will never start it: {HOPELESS[task.reason]} ({task.reason})"
                self._end(task, Ended(task.number, task.attempt, why))

    def _read(self) -> None:
        """Take what the tasks have written."""
        tasks = [task for task in self._tasks.values() if task.batch.out]
        asked = [task.question(self._settle) for task in tasks]
        if not tasks:
            return
        released, self._fetched = self._fetched, []
        request = {
            "shared": self._briefing.shared,
            "tasks": asked,
            "direct": self._direct,
            "release": released,
            **self._briefing.apart,
        }
        with self._queue.tolerated():
            answer = self._site.call(request)
            for task, news in zip(tasks, answer["tasks"], strict=True):
                self._hear(task, news)

    def _hear(self, task: Task, news: Mapping[str, Any]) -> None:
        if len(news["starts"]) > max(len(task.starts), 1):
            again = f"Slurm started it again, on {news['starts'][-1]['node']}: its node failed, or it was preempted"
            self._updates.append(Remark(task.number, task.attempt, again))
        if task.told and len(news["starts"]) > len(task.starts):
            task.told = ""
            self._updates.append(Queued(task.number, task.attempt, ""))
        if len(news["starts"]) > len(task.starts):
            task.gone = None
            self._queue.begun(news["starts"][-1]["task"])
        task.starts, task.heard = news["starts"], True
        texts = {name: news[name].encode("latin-1") for name in ("log", "lines") if name in news}
        self._updates.extend(task.mirror.take({**news, **texts}))
        if "ended" in news:
            self._bring(task, news["left"])
            self._fetched += [task.job] if task.job else []
            self._conclude(task, news)

    def _bring(self, task: Task, left: Iterable[str]) -> None:
        for name in () if self._site.direct else left:
            if name == "checkpoint" or self._briefing.outputs is None:
                self._site.bring(f"{place_of(task.number)}/{name}", Path(getattr(task.mirror.files, name)))

    def _conclude(self, task: Task, news: Mapping[str, Any]) -> None:
        ended = judged(self._setting, task.number, task.attempt, news, task.final, task.mirror.files.log)
        if task.stopping and ended.failure:
            self._end(task, Ended(task.number, task.attempt, "it was stopped by its driver", lost=True))
        elif ended.lost:
            self._lose(task, ended.failure, preempted=ended.preempted)
        else:
            self._end(task, ended)

    def _lose(self, task: Task, why: str, *, preempted: bool = False) -> None:
        """End a trial as lost; what may still run of it ends itself."""
        self._fence([task])
        self._end(task, Ended(task.number, task.attempt, why, lost=True, preempted=preempted))

    def _end(self, task: Task, ended: Ended) -> None:
        if task.starts and not ended.lost:
            self._supply.ended(task.seconds())
        task.mirror.close()
        del self._tasks[task.number]
        self._updates.append(ended if ended.billed is not None else _with_seconds(ended, task.seconds()))

    def close(self) -> None:
        for task in self._tasks.values():
            task.mirror.close()
        self._site.close()


def _with_seconds(ended: Ended, seconds: float) -> Ended:
    return replace(ended, billed=seconds)
