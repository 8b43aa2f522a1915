"""kill -9 at random moments of a run: it is resumed to its end, with every trial there exactly once."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cloudtune import api
from cloudtune.store.records import RunState, TrialState

TRIALS = 30
KILLS = 50
PARTS = 5
"""The kills are spread over so many runs, which xdist runs side by side."""

# Every start of a trial leaves a line in a file outside of the run's folder, and so does every end.
SCRIPT = """
    import sys, time
    import cloudtune.trial as trial
    line = f"{{}} {trial.number()} {trial.attempt()}\\n"
    with open(DIARY, "a") as diary:
        diary.write(line.format("begin"))
    for step in range(1, 4):
        trial.report(score=trial.params()["x"] * step, step=step)
        time.sleep(0.05)
    with open(DIARY, "a") as diary:
        diary.write(line.format("end"))
"""

DRIVE = "import json; from cloudtune import TuningJob, api; api.prepare(TuningJob.from_data(json.load(open('job.json'))), 'local', run_id='it').wait()"
RESUME = "from cloudtune import api; api.attach('it').wait()"


def start(project: Path, code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], cwd=project, start_new_session=True)


def job(project: Path, **fields: Any) -> dict[str, Any]:
    (project / "train.py").write_text(f"DIARY = {str(project / 'diary')!r}\n" + textwrap.dedent(SCRIPT))
    return {
        "name": "survivor", "trial": {"command": "python train.py"}, "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}}, "strategy": {"type": "random", "seed": 11},
        "limits": {"trials": TRIALS, "parallel": 2}, "local": {"grace": 0.2}, **fields,
    }  # fmt: skip


def expected_parameters(tmp_path: Path, data: dict[str, Any]) -> list[dict[str, Any]]:
    """What an undisturbed run would try."""
    from cloudtune.search import strategy_for
    from cloudtune.spec.job import TuningJob

    tuning = TuningJob.from_data(data)
    strategy = strategy_for(tuning, tuning.search_space(), 11)
    return [strategy.suggest(number) for number in range(TRIALS)]


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.complete) for part in range(1, PARTS))])
def test_a_run_that_is_killed_again_and_again_ends_with_every_trial_once(tmp_path: Path, part: int) -> None:
    chance = random.Random(part)
    data = job(tmp_path)
    (tmp_path / "job.json").write_text(json.dumps(data))
    kills = 0
    code = DRIVE
    while kills < KILLS // PARTS:
        driver = start(tmp_path, code)
        try:
            driver.wait(chance.uniform(0.05, 0.45))
        except subprocess.TimeoutExpired:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            kills += 1
        recorded = (tmp_path / ".cloudtune" / "store.db").exists() and bool(api.runs(project=tmp_path))
        code = RESUME if recorded else DRIVE
        assert driver.returncode != 0, "the run is long enough for all kills"
    final = start(tmp_path, code)
    assert final.wait(60) == 0
    run = api.attach("it", project=tmp_path)
    assert run.state is RunState.COMPLETED
    trials = run.trials()
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert all(trial.state is TrialState.COMPLETED for trial in trials), [trial.reason for trial in trials]
    assert [trial.parameters for trial in trials] == expected_parameters(tmp_path, data)
    ends = Counter(
        int(line.split()[1]) for line in (tmp_path / "diary").read_text().splitlines() if line.startswith("end")
    )
    assert ends == dict.fromkeys(range(TRIALS), 1), "no trial came to its end twice, and none is missing"
    for trial in trials:
        reports = [report for report in run.reports(trial.number) if report.attempt == trial.attempt]
        assert [report.step for report in reports] == [1, 2, 3], "every report is there once"
        assert trial.metrics["score"] == pytest.approx(trial.parameters["x"] * 3)


def test_what_a_driver_that_died_at_the_very_end_could_not_forget_is_forgotten(tmp_path: Path) -> None:
    from cloudtune.spec.job import TuningJob

    trial = {"command": "true", "environment": {"TOKEN": "s3cr3t"}}
    run = api.prepare(TuningJob.from_data(job(tmp_path, trial=trial)), "local", project=tmp_path, base=tmp_path)
    kept = run.folder / "environment.json"
    assert "s3cr3t" in kept.read_text()
    run._store.write(columns={"state": "completed"})
    assert run.wait() is RunState.COMPLETED
    assert not kept.exists()


@pytest.mark.parametrize("strategy", ["random", pytest.param("bayesian", marks=pytest.mark.complete)])
def test_a_pool_of_workers_survives_its_driver_too(tmp_path: Path, strategy: str) -> None:
    """In a pool nothing can be taken over: trials that were running run again, finished ones do not."""
    code = f"""
import sys
from cloudtune import Float, tune

def work(x):
    import time
    time.sleep(0.01)
    with open({str(tmp_path / "diary")!r}, "a") as diary:
        diary.write(f"{{x}}\\n")
    return x

tune(work, {{"x": Float(low=0, high=1)}}, maximize="score", trials=60, parallel=2,
     strategy={{"type": {strategy!r}, "seed": 3}}, run_id="it")
"""
    chance = random.Random(1)
    for _ in range(4):
        driver = start(tmp_path, code)
        try:
            driver.wait(chance.uniform(0.3, 0.7))
        except subprocess.TimeoutExpired:
            driver.kill()
            driver.wait()
    assert start(tmp_path, code).wait(60) == 0
    run = api.attach("it", project=tmp_path)
    assert run.state is RunState.COMPLETED
    assert [trial.number for trial in run.trials()] == list(range(60))
    assert all(trial.state is TrialState.COMPLETED for trial in run.trials())
    done = Counter((tmp_path / "diary").read_text().split())
    assert sum(done.values()) <= 60 + 4 * 2, "only what was running when the driver died ran again"
    assert time.time() - (run.record.ended or 0) < 60
