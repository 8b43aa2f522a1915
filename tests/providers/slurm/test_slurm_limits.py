"""Clusters, accounts and qos that take fewer jobs than a run has trials: it submits fewer at once, or later, and nothing is lost."""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from slurm_runs import messages
from test_slurm_answers import stand_in

from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune_slurm import commands, states
from cloudtune_slurm.queue import Queue
from cloudtune_slurm.tasks import Batch

pytestmark = pytest.mark.xdist_group("slurm")  # whose cluster is started once

ARRAY = "Batch job submission failed: Invalid job array specification"
LIMIT = "QOSMaxSubmitJobPerUserLimit: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
TAKES_TWO = """\
case "$2" in --array=0-[01]%*) exec {sbatch} "$@";; esac
echo "sbatch: error: {why}" >&2
exit 1
"""


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("why", "per_task"), [(ARRAY, 1), (LIMIT, None)])
def test_an_array_that_is_too_large_is_submitted_in_parts(
    why: str,
    per_task: int | None,
    job: Callable[..., TuningJob],
    finish: Callable[[TuningJob], Run],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(
        project / "bin",
        monkeypatch,
        "sbatch",
        TAKES_TWO.format(sbatch=shutil.which("sbatch"), why=why.rsplit(": ", maxsplit=1)[-1]),
    )
    own = {} if per_task is None else {"trials_per_task": per_task}
    run = finish(job(limits={"trials": 7, "parallel": 7}, slurm=own))
    assert run.state is RunState.COMPLETED, messages(run)
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 7


class Site:
    """A cluster that has as many jobs as it may until `free`.

    Args:
        why: what sbatch says.
        arrived: whether it has taken the job all the same.
    """

    def __init__(self, why: str, *, arrived: bool = False) -> None:
        self.why, self.arrived, self.free, self.asked = why, arrived, False, list[str]()

    def call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += request
        if "submit" in request:
            return {"submit": "7"} if self.free else {"refused": [["submit", self.why, True]]}
        return {"active": [["9", 0, "PENDING", "", "b", "9", ""]] if self.arrived else []}


def queue_of(site: Any, tasks: int) -> tuple[Queue, Batch]:
    made, batch = Queue(site, "run", 60.0, 1.0), Batch("b", content={}, tasks=tasks)
    made.add(batch)
    return made, batch


def test_a_cluster_that_is_full_is_waited_for_as_long_as_it_takes_while_running_tasks_are_looked_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site(LIMIT)
    made, batch = queue_of(site, 1)
    told = []
    for _ in range(3):
        assert made.submit() == ({}, [])
        told += made._remarks
        made._remarks.clear()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda now=now: now + 61.0)
    assert told == [f"Slurm takes no more jobs for now ({LIMIT}); what is left is submitted when others have ended"]
    assert made._next_try == 0.0, "states are asked for meanwhile"
    assert not batch.out
    site.free = True
    assert (made.submit(), batch.job) == (({}, []), "7")


@pytest.mark.parametrize(
    ("why", "arrived"), [(f"Slurm temporarily unable to accept job, {states.RETRIES}", True), (LIMIT, False)]
)
def test_more_tasks_than_a_cluster_takes_come_back_to_be_split_unless_sbatch_got_through(
    why: str, arrived: bool
) -> None:
    made, batch = queue_of(Site(why, arrived=arrived), 20)
    assert made.submit() == ({}, [] if arrived else [batch])
    assert (batch.job, batch.out) == (("9", True) if arrived else ("", False))
    assert not made.holds(batch)


def test_an_array_of_one_task_that_is_refused_as_an_array_fails_its_trials() -> None:
    made, _ = queue_of(Site(ARRAY), 1)
    assert made.submit() == ({"b": ARRAY}, [])
    assert states.refusal(ARRAY).endswith("; the cluster takes no job arrays")


def test_an_sbatch_that_sleeps_until_there_is_room_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"Slurm temporarily unable to accept job, {states.RETRIES}"
    stand_in(
        tmp_path / "bin", monkeypatch, "sbatch", f"cat >/dev/null; echo 'sbatch: error: {said}' >&2; exec sleep 600"
    )
    began = time.monotonic()
    with pytest.raises(commands.SlurmError, match=said) as caught:
        commands.submit(["--array=0-1"], "#!/bin/sh\n" * 20_000)
    assert caught.value.passing
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("why", "todo"),
    [
        ("Batch job submission failed: Invalid account or account/partition combination specified", "sacctmgr show associations"),
        ("invalid partition specified: x: Batch job submission failed: Invalid partition name specified", "`cloudtune check` lists them"),
        ("Batch job submission failed: Invalid qos specification", "sacctmgr show qos"),
        ("Batch job submission failed: Invalid feature specification", "what constraint may ask for"),
        ("Invalid generic resource (gres) specification", "%G"),
        ("Memory specification can not be satisfied", "%c %m"),
        ("Batch job submission failed: Requested reservation is invalid", "scontrol show reservation"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(why: str, todo: str) -> None:
    assert states.refusal(why).startswith(f"sbatch refuses it: {why}; ")
    assert todo in states.refusal(why)
