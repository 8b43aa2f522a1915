"""A run that is confirmed, as the commands, the Python API, tables and the report show it; and its replay."""

import json

import pytest
from cloud_runs import job_of

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.report.study import study_of
from cloudtune.report.tables import outcome
from cloudtune.results.tables import trial_rows
from cloudtune.run import Run
from cloudtune.store.records import Trial
from cloudtune.store.store import RunStore

SCRIPT = """
import os
import sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert given["--seed"] == os.environ["CLOUDTUNE_SEED"]
print("score=" + str(int(float(given["--x"]) * 10) + int(given["--seed"]) / 100))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("confirmed")
    job = job_of(
        folder,
        SCRIPT,
        trial={"command": "python train.py --seed {seed}"},
        confirm=2,
        limits={"trials": 10, "parallel": 2},
    )
    made = api.submit(job, "local", project=folder, base=folder)
    made.wait()
    return made


def best_of(run: Run) -> Trial:
    assert run.best is not None
    return run.best


def said(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.chdir(run.project)
    assert run_app(list(words)) == 0
    return capsys.readouterr().out


def test_each_repetition_has_a_seed_of_its_own(run: Run) -> None:
    repeats = [trial for trial in run.trials() if trial.repeat_of is not None]
    assert [trial.number for trial in repeats] == [4, 5, 6, 7, 8, 9]
    assert all(round(trial.metrics["score"] * 100) % 100 == trial.number for trial in repeats)


def test_the_best_and_its_mean_are_said_everywhere(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    best = best_of(run)
    known = run.confirmed[best.number]
    mean = known.means["score"]
    assert mean == max(each.means["score"] for each in run.confirmed.values())
    assert f"mean score = {mean:.6g} ± 0.0071 (2 repetitions)" in said(run, capsys, monkeypatch, "best")
    assert f"mean score = {mean:.6g}" in said(run, capsys, monkeypatch, "show")
    assert f"mean score = {mean!r}" in said(run, capsys, monkeypatch, "ls")
    data = json.loads(said(run, capsys, monkeypatch, "best", "--json"))
    assert (data["number"], data["confirmed"]["mean"]["score"]) == (best.number, mean)
    assert len(json.loads(said(run, capsys, monkeypatch, "show", "--json"))["confirmed"]) == 3
    assert "repeats" in said(run, capsys, monkeypatch, "trials").splitlines()[0]
    assert [row["repeat_of"] for row in trial_rows(run.trials())].count(None) == 4
    assert f"Best: mean score = {mean:.6g} ± 0.0071 (2 repetitions)" in outcome(study_of(run))
    assert "confirmed: the best is trial" in said(run, capsys, monkeypatch, "show")


@pytest.mark.parametrize("look", ["show", "ls", "best"])
def test_a_look_reads_no_trial_that_it_does_not_say(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    reads = []
    monkeypatch.setattr(RunStore, "trials", lambda self, *_: reads.append(self.id) or [])
    assert "mean score" in said(run, capsys, monkeypatch, look)
    assert not reads, "to read 100,000 trials takes seconds"


def test_its_suggestions_are_derived_anew(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(run, capsys, monkeypatch, "replay") == f"{run.id}: all 4 suggestions are the same\n"
    data = json.loads(said(run, capsys, monkeypatch, "replay", "--json"))
    assert (data["same"], data["exact"], len(data["trials"])) == (True, True, 4)


def test_a_difference_is_explained_and_is_the_exit_code(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudtune.driver.replay.versions", lambda: {"cloudtune": "99"})
    monkeypatch.setattr("cloudtune.search.random_search.RandomSearch._propose", lambda self, number: {"x": 0.5})
    monkeypatch.chdir(run.project)
    assert run_app(["replay"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{run.id}: 4 of 4 suggestions differ"
    assert lines[1].startswith("the first is trial 0: x was ")
    assert lines[2].startswith("  cloudtune was ")
