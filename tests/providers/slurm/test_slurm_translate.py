"""What a job asks of Slurm, and what Slurm's answers mean: pure translations."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cloudtune.planning.plan import Support
from cloudtune.process.attempts import LOST as NO_WORD
from cloudtune.process.setting import Setting, TrialFiles
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob
from cloudtune_slurm import states
from cloudtune_slurm.claims import NOBODY, by_itself, claim, fence, has_ended, note_end, of_start, starts_of, still_runs
from cloudtune_slurm.placement import Placement
from cloudtune_slurm.settings import SlurmSettings
from cloudtune_slurm.task import Task
from cloudtune_slurm.verdicts import judged


def job(**fields: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "s",
            "trial": {"command": "python train.py", **fields.pop("trial", {})},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "limits": {"trials": 4, **fields.pop("limits", {})},
            **fields,
        }
    )


def sbatch(tuning: TuningJob, **settings: Any) -> list[str]:
    request: Any = load_provider("slurm")(settings).plan(tuning).request
    return request["sbatch"]


def notes(tuning: TuningJob, support: Support, **settings: Any) -> dict[str, str]:
    plan = load_provider("slurm")(settings).plan(tuning)
    return {note.path: note.message for note in plan.notes if note.support is support}


def test_a_plain_job_asks_for_one_task_on_one_node() -> None:
    assert sbatch(job()) == ["--nodes=1", "--ntasks-per-node=1", "--signal=B:TERM@60", "--requeue"]


def test_compute_becomes_processors_memory_and_gres() -> None:
    compute = {"cpus": 2.5, "memory": "1GB", "accelerators": "a100:2", "count": 3}
    said = sbatch(job(compute=compute, slurm={"gres": "shard:1"}))
    assert said[:5] == [
        "--nodes=3",
        "--ntasks-per-node=1",
        "--cpus-per-task=3",
        "--mem=954M",
        "--gres=gpu:a100:2,shard:1",
    ]
    assert "--gres=gpu:1" in sbatch(job(compute={"accelerators": "GPU"}))


def test_what_the_job_says_counts_before_the_profile() -> None:
    said = sbatch(
        job(slurm={"partition": "long", "nice": 10}), partition="gpu", account="mine", options="--exclusive --tmp=5G"
    )
    assert said[:3] == ["--partition=long", "--account=mine", "--nice=10"]
    assert said[-2:] == ["--exclusive", "--tmp=5G"]


@pytest.mark.parametrize(
    ("fields", "minutes"),
    [
        ({"slurm": {"time": "90s"}}, "--time=2"),
        ({"limits": {"trial_time": "1h"}}, "--time=65"),
        ({"limits": {"trial_time": "1h"}, "slurm": {"trials_per_task": 1}}, "--time=63"),
        ({"limits": {"trial_time": "1h"}, "slurm": {"time": "2h"}}, "--time=120"),
        ({"limits": {"trial_time": "1m"}, "slurm": {"trials_per_task": 10}}, "--time=13"),
    ],
)
def test_slurms_limit_is_later_than_that_of_the_trial_unless_it_is_said(fields: dict[str, Any], minutes: str) -> None:
    assert minutes in sbatch(job(**fields))


@pytest.mark.parametrize("word", ["--array=1-2", "--job-name=x", "-Jx", "--comment=mine", "--wrap=true", "exclusive"])
def test_options_by_which_cloudtune_finds_its_jobs_are_refused(word: str) -> None:
    with pytest.raises(ValidationError, match=r"take it away|is no option"):
        Placement(options=(word,))
    assert notes(job(slurm={"options": [word]}), Support.UNSUPPORTED)


def test_a_setting_that_slurm_has_not_is_told() -> None:
    assert "did you mean 'partition'?" in notes(job(slurm={"partitoin": "x"}), Support.UNSUPPORTED)["slurm.partitoin"]


def test_nodes_that_share_no_folder_get_data_and_one_trial_a_task() -> None:
    said = job(data={"table": "table"}, slurm={"trials_per_task": 4})
    assert "run one trial" in notes(said, Support.UNSUPPORTED, local="/tmp")["slurm.trials_per_task"]
    assert "trial.source" in notes(job(), Support.APPROXIMATE, local="/tmp")
    request: Any = load_provider("slurm")({"local": "/tmp"}).plan(job(data={"table": "table"})).request
    assert (request["settings"]["data"], request["settings"]["trials_per_task"]) == ("shipped", 1)


def test_parts_of_gpus_are_refused_and_parts_of_processors_noted() -> None:
    assert "compute.accelerators.count" in notes(job(compute={"accelerators": "GPU:0.5"}), Support.UNSUPPORTED)
    assert "compute.cpus" in notes(job(compute={"cpus": 0.5}), Support.APPROXIMATE)


def test_an_image_is_carried_where_a_prefix_takes_it() -> None:
    said = job(trial={"image": "pytorch/pytorch"})
    assert "trial.image" in notes(said, Support.APPROXIMATE)
    assert "trial.image" not in notes(said, Support.APPROXIMATE, container="apptainer exec docker://{image}")


def test_rows_of_squeue_and_sacct_are_read() -> None:
    printed = "12_3|PENDING|(Resources)|b1\n12_4|RUNNING|None|b1\n99|RUNNING|None|\n12_[5-9]|PENDING|Priority|b1\n"
    assert states.rows(printed) == [
        states.Row("12", 3, "PENDING", "Resources", "b1"),
        states.Row("12", 4, "RUNNING", "None", "b1"),
    ]
    (row,) = states.rows("7_0|CANCELLED by 1000\n7_0.batch|CANCELLED\n")
    assert (row.state, row.ended) == ("CANCELLED", True)


OF_SLURM_22_TO_24 = [
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "COMPLETING",
    "CONFIGURING",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PENDING",
    "PREEMPTED",
    "RESIZING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESV_DEL_HOLD",
    "REVOKED",
    "RUNNING",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
    "SUSPENDED",
    "TIMEOUT",
]


def test_every_state_of_slurm_is_known() -> None:
    assert set(OF_SLURM_22_TO_24) <= states.ACTIVE | states.ENDED
    assert not states.ACTIVE & states.ENDED
    assert {"COMPLETED", "FAILED", *states.LOST, *states.FAILED} == states.ENDED
    assert not states.Row("1", 0, "A_STATE_TO_COME").ended


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("Resources", "its turn in Slurm's queue (Resources, Priority)"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-4]", "a node that it names"),
        ("QOSMaxJobsPerUserLimit", "what Slurm calls QOSMaxJobsPerUserLimit"),
        ("None", ""),
        ("JobArrayTaskLimit", ""),
    ],
)  # fmt: skip
def test_a_reason_is_said_in_words(reason: str, said: str) -> None:
    assert states.waiting(reason) == said


def outcome(status: int | None, why: str = "") -> dict[str, Any]:
    starts = [{"task": "12_0", "turn": 0}]
    return {"ended": {"status": status, "why": why, "message": "", "peak": 0}, "starts": starts, "cancelled": False}


LEFT = {"ended": dict(NO_WORD), "printed": "module: command not found", "starts": [], "cancelled": False}
SECOND = {"starts": [{"task": "12_0", "turn": 1}]}


@pytest.mark.parametrize(
    ("news", "state", "failure", "lost", "retry"),
    [
        (outcome(0), "NODE_FAIL", "", False, False),
        (outcome(3 << 8), "", "it exited with code 3", False, True),
        (outcome(15), "PREEMPTED", "Slurm preempted it", True, False),
        (outcome(9), "OUT_OF_MEMORY", "it needed more memory", False, False),
        (outcome(9), "FAILED", "it was killed (SIGKILL)", False, True),
        (outcome(15, "stopped"), "CANCELLED", "somebody cancelled it", False, False),
        (outcome(0, "stopped"), "COMPLETED", "Slurm ended it at its limit of time", False, False),
        (outcome(15, "stopped"), "", "Slurm asked it to end", True, False),
        (outcome(15, "stopped") | SECOND, "TIMEOUT", "its task's time was over", True, False),
        (outcome(0, "stopped") | SECOND, "COMPLETED", "its task's time was over", True, False),
        (outcome(15, "stopped") | {"cancelled": True}, "CANCELLED", "its task was cancelled", True, False),
        (LEFT, "NODE_FAIL", "its node failed", True, False),
        (LEFT, "TIMEOUT", "Slurm ended it at its limit of time", False, False),
        (LEFT, "FAILED", "its job failed before the trial began: module: command not found", False, True),
        (LEFT, "", "its task has ended without a word", True, False),
    ],
)
def test_an_end_is_judged_by_its_record_and_by_slurm(
    news: dict[str, Any], state: str, failure: str, lost: bool, retry: bool, tmp_path: Path
) -> None:
    setting = Setting(job(), "r", tmp_path, tmp_path, {}, None, None, 1.0)
    ended = judged(setting, 1, 1, news, state, str(tmp_path / "log"))
    assert (ended.failure[: len(failure)], ended.lost, ended.retry) == (failure, lost, retry)
    assert bool(ended.failure) == bool(failure)
    assert ended.preempted == (state == "PREEMPTED")


@pytest.mark.parametrize(
    ("status", "own"), [(0, True), (1 << 8, True), (15, False), (143 << 8, False), (137 << 8, False)]
)
def test_an_end_by_a_signal_may_be_slurms(status: int, own: bool) -> None:
    assert by_itself(outcome(status)["ended"]) is own


def test_one_task_alone_has_an_attempt(tmp_path: Path) -> None:
    files = TrialFiles(str(tmp_path), 1)
    assert claim(files, "12_0", node="n1")
    assert not claim(files, "13_0", node="n2")  # the same batch, submitted twice
    note_end(files)
    assert claim(files, "12_0", node="n3")  # requeued
    assert [(start["node"], "ended" in start) for start in starts_of(files)] == [("n1", True), ("n3", False)]
    assert of_start(files, 2).record != of_start(files, 1).record == files.record
    assert still_runs(files, 2)
    fence(files)
    assert not still_runs(files, 2)
    assert not claim(files, "12_0", node="n1")  # requeued, after its driver has given it up
    assert len(starts_of(files)) == 2
    other = TrialFiles(str(tmp_path), 2)
    fence(other)
    assert not claim(other, "12_1")
    assert starts_of(other)[0]["task"] == NOBODY


@pytest.mark.parametrize("written", ["", '{"task": "12_0", "no'], ids=["nothing", "half a line"])
@pytest.mark.parametrize("task", [NOBODY, "13_0"])
def test_a_claim_whose_writer_died_or_had_no_room_for_it_is_nobodys_after_a_while(
    written: str, task: str, tmp_path: Path
) -> None:
    files = TrialFiles(str(tmp_path), 1)
    assert claim(files, "12_0")
    (path,) = tmp_path.rglob("*.task")
    path.write_text(written)
    assert not claim(files, task), "it may be written just now"
    os.utime(path, (0, 0))
    assert claim(files, task)
    assert [start["task"] for start in starts_of(files)] == [task]
    assert not claim(files, "12_0")


def test_an_attempt_that_has_ended_is_not_run_again_for_a_controller_that_does_not_know(tmp_path: Path) -> None:
    files = TrialFiles(str(tmp_path), 1)
    order = {"number": 0, "attempt": 1, "parameters": {}, "argv": ["touch", str(tmp_path / "ran")]}
    shared = {"outputs": None, "log_size": 4096}
    mine = TrialFiles(str(tmp_path / "trials" / "00000"), 1)
    assert claim(mine, "12_0")
    Path(mine.record).write_text(f"1 1\n1 1\n{json.dumps(outcome(0)['ended'])}\n")
    assert Task(tmp_path, "12_0", "b", {}).run(shared, order) is None
    assert not (tmp_path / "ran").exists()
    assert len(starts_of(mine)) == 1
    assert not has_ended(files)


def test_a_claim_of_which_half_was_written_is_nobodys(tmp_path: Path) -> None:
    files = TrialFiles(str(tmp_path), 1)
    Path(f"{files.record}.task").write_text('{"task": "12_')
    assert not claim(files, "12_0")
    assert starts_of(files) == []


def test_a_profile_from_the_environment_is_text_alone() -> None:
    said = SlurmSettings.of(
        {"host": "", "requeue": "false", "interval": "30", "options": "--tmp=1G --exclusive"}, "slurm"
    )
    assert (said.host, said.requeue, said.interval, said.options) == ("", False, 30.0, ("--tmp=1G", "--exclusive"))


@pytest.mark.parametrize(
    ("settings", "signal"),
    [
        ({"time": "1m"}, "TERM@15"),
        ({"time": "2m"}, "TERM@30"),
        ({"time": "4m"}, "TERM@60"),
        ({"time": "2h", "signal": "USR1@600"}, "USR1@600"),
        ({"time": "10m", "signal": "USR1@600"}, "USR1@150"),
        ({"time": "1m", "signal": "TERM@5"}, "TERM@5"),
        ({"signal": "INT"}, "INT@60"),
    ],
)
def test_the_signal_before_the_limit_leaves_a_trial_most_of_its_time(settings: dict[str, Any], signal: str) -> None:
    made = job(slurm=settings)
    assert f"--signal=B:{signal}" in sbatch(made)
    told = notes(made, Support.APPROXIMATE).get("slurm.signal", "")
    said = settings.get("signal", "TERM@60")
    assert (f"it comes {signal.split('@')[1]} s before" in told) is ("@" in said and signal != said)
