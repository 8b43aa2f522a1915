"""One trial before a service is paid for many."""

from pathlib import Path

import pytest
from cloud_runs import job_of

from cloudtune import RunState, api, tune
from cloudtune.cli.app import run_app
from cloudtune.errors import NotLaunched
from cloudtune.tuning.rehearsal import rehearse

GOOD = "import cloudtune.trial as t\nt.report(score=t.params()['x'])\n"
FIELDS = {
    "trial": {"image": "own:latest"},
    "first": [{"x": 0.25}, {"x": 0.5}],
    "strategy": {"type": "bayesian"},
    "stopping": {"type": "median"},
    "retries": 2,
}


def test_the_first_trial_runs_on_this_machine(tmp_path: Path) -> None:
    run = rehearse(job_of(tmp_path, GOOD, **FIELDS), "aws", project=tmp_path, base=tmp_path)
    (trial,) = run.trials()
    assert (run.state, run.record.provider, trial.metrics) == (RunState.COMPLETED, "local", {"score": 0.25})


@pytest.mark.parametrize("script", ["raise SystemExit(3)", "print('loss=1')"])
def test_nothing_is_launched_if_it_does_not_report_the_objective(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path, script, **FIELDS)
    with pytest.raises(NotLaunched, match="the rehearsal of runs failed, and nothing was launched: "):
        rehearse(job, "aws", project=tmp_path, base=tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    assert run_app(["run", "job.yaml", "--on", "aws", "--rehearse"]) == NotLaunched.exit_code
    assert "cloudtune logs runs-rehearsal-" in capsys.readouterr().err
    assert {record.provider for record in api.runs(project=tmp_path)} == {"local"}


@pytest.mark.complete
def test_what_this_machine_cannot_run_is_rehearsed_in_an_emulator(tmp_path: Path) -> None:
    job = job_of(tmp_path, GOOD, **FIELDS, network={"isolated": True})
    run = rehearse(job, "aws", project=tmp_path, base=tmp_path)
    assert (run.state, run.record.provider) == (RunState.COMPLETED, "sagemaker")
    assert run.record.emulators


def test_tune_goes_on_only_after_a_good_rehearsal(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def objective(x: float) -> float:
        with calls.open("a") as file:
            file.write("x\n")
        return x

    run = tune(objective, {"x": (0.0, 1.0)}, minimize="loss", trials=2, rehearse=True, project=tmp_path, quiet=True)
    assert run.state is RunState.COMPLETED
    assert len(calls.read_text().splitlines()) == 3
    assert [record.name for record in api.runs(project=tmp_path)] == ["objective", "objective-rehearsal"]

    def broken(x: float) -> float:
        raise ValueError("no data")

    with pytest.raises(NotLaunched, match="no data"):
        tune(broken, {"x": (0.0, 1.0)}, minimize="loss", trials=2, rehearse=True, project=tmp_path, quiet=True)
    assert "broken" not in [record.name for record in api.runs(project=tmp_path)]
