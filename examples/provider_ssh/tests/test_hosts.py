"""What only hosts have: they stop answering and come back, outlive drivers, and keep nothing of a run that has ended."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import Sshd, write_profile

from cloudtune import TuningJob, api
from cloudtune.config import load_profile
from cloudtune.errors import ProviderError
from cloudtune.provider import load_provider
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until
from cloudtune.testing.submitting import submitting

Submit = Callable[[TuningJob], Run]

WAITS = """\
import pathlib, sys, time
import cloudtune.trial as trial

trial.report(score=1.0)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
"""
"""Reports, and ends when a file is there."""


def job(project: Path, script: str, *arguments: str, **fields: object) -> TuningJob:
    (project / "src" / "train.py").write_text(script)
    return TuningJob.from_data(
        {
            "name": "hosts",
            "trial": {"source": "src", "command": ["python", "train.py", *arguments]},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 1},
            "limits": {"trials": 2, "parallel": 2},
            **fields,
        }
    )


@pytest.fixture
def submit(project: Path) -> Iterator[Submit]:
    """Submits a job; what still runs after the test is cancelled."""
    with submitting(project, "lab") as submit:
        yield submit


def running(run: Run) -> int:
    run.refresh()
    return sum(trial.state is TrialState.RUNNING and any(run.reports(trial.number)) for trial in run.trials())


def messages(run: Run) -> str:
    return "\n".join(message for _, _, message in run.events())


def test_a_host_that_is_never_there_gives_its_trials_to_another(project: Path, sshd: Sshd) -> None:
    write_profile(project, sshd, away=None)
    run = api.prepare(
        job(project, "print('score=1')\n", limits={"trials": 6, "parallel": 6}), "lab", project=project, base=project
    )
    assert run.wait() is RunState.COMPLETED
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 6


def test_no_host_at_all_is_told_with_the_reason(project: Path, sshd: Sshd) -> None:
    write_profile(project, sshd)
    config = project / "cloudtune.toml"
    config.write_text(f"{config.read_text()}port = 1\n")
    run = api.prepare(job(project, "print('score=1')\n"), "lab", project=project, base=project)
    with pytest.raises(ProviderError, match=r"one cannot be used: .*Connection refused"):
        run.wait()
    profile = load_profile("lab", project)
    findings = {each.subject: each for each in load_provider("ssh")(profile.settings).check()}
    assert findings["one"].ok is False
    assert "Connection refused" in findings["one"].message


def test_trials_are_waited_for_while_their_host_does_not_answer_briefly(
    project: Path, sshd: Sshd, submit: Submit, tmp_path: Path
) -> None:
    write_profile(project, sshd)
    config = project / "cloudtune.toml"
    config.write_text(config.read_text().replace("patience = 2", "patience = 600"))
    run = submit(job(project, WAITS, str(tmp_path / "go")))
    wait_until(lambda: running(run) == 2)
    sshd.stop()
    try:
        (tmp_path / "go").touch()
        wait_until(lambda: not _trials_of(run))
    finally:
        sshd.start()
    assert run.wait() is RunState.COMPLETED
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 2, messages(run)


def test_trials_of_a_host_that_does_not_answer_for_too_long_start_elsewhere_and_end_there_when_it_is_back(
    project: Path, sshd: Sshd, spare: Sshd, submit: Submit, tmp_path: Path
) -> None:
    write_profile(project, sshd, spare=spare)
    run = submit(job(project, WAITS, str(tmp_path / "go"), limits={"trials": 6, "parallel": 6}))
    wait_until(lambda: running(run) == 6)
    first = set(_trials_of(run))
    spare.stop()
    try:
        wait_until(lambda: messages(run).count("spare cannot be used") == 2)
    finally:
        spare.start()
    wait_until(lambda: len(first & set(_trials_of(run))) == 4)  # what ran there has ended
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED
    assert sorted(trial.attempt for trial in run.trials()) == [1, 1, 1, 1, 2, 2]


HOLDS = """\
import os, pathlib, time
import cloudtune.trial as trial

begun = time.monotonic()
time.sleep(0.3)
with pathlib.Path(os.environ["HELD"]).open("a") as file:
    file.write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.environ['OMP_NUM_THREADS']} {begun} {time.monotonic()}\\n")
trial.report(score=1.0)
"""


def test_trials_have_gpus_of_their_own_even_where_two_hosts_are_one_machine(
    project: Path, sshd: Sshd, tmp_path: Path
) -> None:
    write_profile(project, sshd)
    config = project / "cloudtune.toml"
    config.write_text(f'{config.read_text()}gpus = ["901", "902"]\n')
    tuning = job(project, HOLDS, limits={"trials": 5, "parallel": 5}, compute={"accelerators": "T4", "cpus": 0.25})
    held = {"HELD": str(tmp_path / "held")}
    tuning = tuning.model_copy(update={"trial": tuning.trial.model_copy(update={"environment": held})})
    assert api.prepare(tuning, "lab", project=project, base=project).wait() is RunState.COMPLETED
    rows = [line.split() for line in (tmp_path / "held").read_text().splitlines()]
    assert len(rows) == 5
    assert {threads for _, threads, _, _ in rows} == {"1"}
    for gpu in ("901", "902"):
        spans = sorted((float(begun), float(ended)) for device, _, begun, ended in rows if device == gpu)
        assert spans
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


@pytest.mark.usefixtures("lab")
def test_trials_outlive_a_killed_driver_and_the_next_one_takes_them_over(
    project: Path, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job(project, WAITS, str(tmp_path / "go")))
    wait_until(lambda: running(run) == 2)
    os.kill(_driver_of(run), signal.SIGKILL)
    wait_until(lambda: run.state is RunState.INTERRUPTED)
    assert len(_trials_of(run)) == 2
    (tmp_path / "go").touch()
    run.resume()
    assert run.wait() is RunState.COMPLETED
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 2, messages(run)
    assert "taken over" in messages(run)


@pytest.mark.usefixtures("lab")
def test_cancel_without_a_driver_ends_the_trials_on_their_hosts(project: Path, submit: Submit, tmp_path: Path) -> None:
    run = submit(job(project, WAITS, str(tmp_path / "go")))
    wait_until(lambda: running(run) == 2)
    os.kill(_driver_of(run), signal.SIGKILL)
    wait_until(lambda: run.state is RunState.INTERRUPTED)
    assert len(_trials_of(run)) == 2
    run.cancel()
    assert run.state is RunState.CANCELLED
    assert not _trials_of(run)


def test_outputs_come_back_and_nothing_is_left_on_the_hosts(lab: str, project: Path, tmp_path: Path) -> None:
    script = """\
import os, pathlib
import cloudtune.trial as trial

out = pathlib.Path(trial.output_dir())
(out / "deep").mkdir()
(out / "deep" / "model.bin").write_bytes(bytes(range(256)))
(out / "away").symlink_to("/etc/passwd")
trial.report(score=1.0)
"""
    run = api.prepare(job(project, script), lab, project=project, base=project)
    assert run.wait() is RunState.COMPLETED
    files = run.fetch(0, tmp_path / "got")
    assert [path.relative_to(tmp_path / "got").as_posix() for path in files] == ["deep/model.bin"]
    assert files[0].read_bytes() == bytes(range(256))
    assert not list((project / "hosts").iterdir())


def test_a_later_attempt_finds_the_checkpoint_of_the_one_before(lab: str, project: Path) -> None:
    script = """\
import pathlib, sys
import cloudtune.trial as trial

kept = pathlib.Path(trial.checkpoint_dir()) / "kept"
if trial.attempt() == 1:
    kept.write_text("4.5")
    sys.exit("once more")
trial.report(score=float(kept.read_text()))
"""
    run = api.prepare(job(project, script, retries=1), lab, project=project, base=project)
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [trial.metrics["score"] for trial in run.trials()] == [4.5, 4.5]


def test_a_function_of_the_source_is_called_on_a_host(lab: str, project: Path) -> None:
    (project / "src" / "model.py").write_text("def fit(x):\n    return 1 - (x - 0.3) ** 2\n")
    tuning = job(project, "", trial={"source": "src", "function": "model:fit"})
    run = api.prepare(tuning, lab, project=project, base=project)
    assert run.wait() is RunState.COMPLETED, run.events()
    assert all(
        trial.metrics["score"] == pytest.approx(1 - (trial.parameters["x"] - 0.3) ** 2) for trial in run.trials()
    )


def _driver_of(run: Run) -> int:
    return next(pid for pid, words in _processes() if "cloudtune.cli.drive" in words and run.id in words)


def _trials_of(run: Run) -> list[int]:
    """The trials' own processes."""
    found = []
    for pid, words in _processes():
        if "train.py" in words:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
                found += [pid] if f"CLOUDTUNE_RUN={run.id}" in environment else []
    return found


def _processes() -> list[tuple[int, str]]:
    said = subprocess.run(["ps", "-ww", "-e", "-o", "pid=", "-o", "args="], capture_output=True, text=True, check=True)
    return [(int(pid), words) for pid, _, words in (line.strip().partition(" ") for line in said.stdout.splitlines())]
