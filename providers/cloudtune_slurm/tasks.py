"""Tasks and batches as their driver knows them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudtune.process.mirror import Mirror
from cloudtune_slurm.agent import ENDED, GIVEN_UP, RUNS
from cloudtune_slurm.batches import printed
from cloudtune_slurm.states import Row


@dataclass(slots=True, eq=False)
class Batch:
    """An array.

    Attributes:
        name: by which its job is found.
        content: what is submitted; None once it was, or by an earlier driver.
        job: its id in Slurm; "" while that is not known.
        tried: whether it was submitted, or an attempt to do so may have succeeded.
        tasks: how many tasks its job has.
        offered: when it was offered to tasks that have begun, in seconds of `time.monotonic`; None if it was not.
    """

    name: str
    content: Mapping[str, Any] | None = None
    job: str = ""
    tried: bool = False
    tasks: int = 0
    offered: float | None = None

    @property
    def out(self) -> bool:
        """Whether tasks may know it."""
        return self.tried or self.offered is not None


@dataclass(slots=True, eq=False)
class Task:
    """An attempt that was given to Slurm, or is about to be.

    Attributes:
        mirror: its files on this machine.
        batch: the array.
        index: of the task in it that comes to it first; another may be faster.
        row: what Slurm said of it last; None before.
        seen: how often it had begun when Slurm said that.
        told: what it waits for, as its driver was told; "" for nothing.
        heard: whether its files have been read.
        starts: when and where it began; see `cloudtune_slurm.claims.starts_of`.
        gone: when Slurm first said that it has ended or does not know it, in seconds of `time.monotonic`; None before.
        stopping: whether it is to end.
        cancelled: whether Slurm was told so.
    """

    mirror: Mirror
    batch: Batch
    index: int
    row: Row | None = None
    seen: int = 0
    told: str = ""
    heard: bool = False
    starts: Sequence[Mapping[str, Any]] = ()
    gone: float | None = None
    stopping: bool = False
    cancelled: bool = False

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self.mirror.trial.number

    @property
    def attempt(self) -> int:
        """Which start of the trial."""
        return self.mirror.trial.attempt

    @property
    def final(self) -> str:
        """The state that its task has ended in; "" before, or if Slurm does not know it."""
        return self.row.state if self.gone is not None and self.row is not None and self.row.ended else ""

    @property
    def waits(self) -> bool:
        """Whether it waits in Slurm's queue, as far as is known."""
        return self.row is not None and self.row.waits and self.gone is None and self.seen == len(self.starts)

    @property
    def reason(self) -> str:
        """Why it waits; "" if it does not."""
        return self.row.reason.split(",")[0] if self.row is not None and self.waits else ""

    @property
    def claimed_in(self) -> str:
        """The batch that the task was submitted in which has it; its own before."""
        return str(self.starts[0].get("batch", self.batch.name)) if self.starts else self.batch.name

    @property
    def slurm_name(self) -> str:
        """The name of the task in Slurm that has it, or comes to it first, ``123_4``; "" while that is not known."""
        if self.starts:
            return str(self.starts[0]["task"])
        return f"{self.batch.job}_{self.index}" if self.batch.job else ""

    def seconds(self) -> float:
        """Return the seconds for which it has run, in all its starts."""
        following = [start["started"] for start in self.starts[1:]]
        ends = [*following, time.time()]
        spans = ((start.get("ended") or end) - start["started"] for start, end in zip(self.starts, ends, strict=False))
        return float(sum(max(0.0, span) for span in spans))

    @property
    def _at(self) -> dict[str, str] | None:
        """Where its own task runs, as far as is known."""
        row = self.row
        if row is None or row.state != "RUNNING" or row.batch != self.batch.name or row.index != self.index:
            return None
        return {"job": row.raw, "name": row.name, "node": row.node, "batch": row.batch}

    @property
    def job(self) -> str:
        """The id of its task as a job of its own; "" while it is not known to run."""
        return self._at["job"] if self._at else ""

    def age(self) -> float:
        """Return the seconds since its last start; 0 before."""
        return max(0.0, time.time() - self.starts[-1]["started"]) if self.starts else 0.0

    def question(self, settle: float) -> dict[str, Any]:
        """Return what the agent has to know to read its files; see `cloudtune_slurm.agent`.

        Args:
            settle: seconds after its end for which its files are waited for.
        """
        state = ENDED if self.cancelled else RUNS
        if self.gone is not None:
            state = GIVEN_UP if time.monotonic() - self.gone >= settle else ENDED
        return {
            "number": self.number,
            "attempt": self.attempt,
            "known": self.mirror.known(),
            "state": state,
            "printed": printed(self.batch.name, self.index),
            "at": self._at,
        }
