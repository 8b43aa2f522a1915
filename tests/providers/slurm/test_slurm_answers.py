"""What Slurm's commands answer: what a driver waits through, and what ends its trials."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_runs import messages

from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune_slurm import agent, queue

pytestmark = pytest.mark.xdist_group("slurm")  # whose cluster is started once

SOCKET = "slurm_load_jobs error: Socket error: Transport endpoint is not connected"
UNKNOWN = "slurm_load_jobs error: Unspecified error"
REFUSES_A_SOCKET = "sbatch: error: slurm_receive_msg: Socket error on send/recv operation"


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Puts a script before a command of Slurm."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


BATCH = {"name": "b1", "options": [], "script": "", "content": {}}


@pytest.mark.parametrize(
    ("asked", "given", "program", "said", "passing"),
    [
        ("active", "run", "squeue", SOCKET, True),
        ("active", "run", "squeue", UNKNOWN, True),
        ("submit", BATCH, "sbatch", REFUSES_A_SOCKET, True),
        ("submit", BATCH, "sbatch", "sbatch: error: Batch job submission failed: Invalid account", False),
    ],
)
def test_a_question_may_be_asked_again_and_a_submission_where_slurm_was_not_reached(
    asked: str, given: object, program: str, said: str, passing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin", monkeypatch, program, f"echo '{said}' >&2; exit 1")
    ((command, why, again),) = agent.call(tmp_path, {asked: given})["refused"]
    assert (command, again) == (asked, passing)
    assert why == said.split(" error: ", 1)[1]


def test_a_command_that_is_not_there_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ((_, why, again),) = agent.call(tmp_path, {"active": "run"})["refused"]
    assert "there is no program squeue here" in why
    assert not again


FAILS_TWICE = """\
if mkdir {folder}/once 2>/dev/null; then echo '{first}' >&2; exit 1; fi
if mkdir {folder}/twice 2>/dev/null; then echo '{second}' >&2; exit 1; fi
touch {folder}/answered
exec {squeue} "$@"
"""
UNTIL_ANSWERED = """\
import pathlib, time
import cloudtune.trial as trial

while not pathlib.Path({folder!r}, "answered").exists():
    time.sleep(0.02)
trial.report(score=1)
"""


@pytest.mark.usefixtures("cluster")
def test_errors_of_squeue_do_not_end_the_run(
    job: Callable[..., TuningJob],
    finish: Callable[[TuningJob], Run],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    squeue = shutil.which("squeue")
    script = FAILS_TWICE.format(folder=project, first=SOCKET, second=UNKNOWN, squeue=squeue)
    stand_in(project / "bin", monkeypatch, "squeue", script)
    monkeypatch.setattr(queue, "_AGAIN", 0.2)
    run = finish(job(UNTIL_ANSWERED.format(folder=str(project))))
    assert run.state is RunState.COMPLETED, messages(run)
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)]
    said = messages(run)
    assert said.count("Slurm does not answer") == 1, "it is said once"
    assert "Socket error" in said
    assert "Slurm answers again" in said
