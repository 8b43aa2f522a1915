"""The commands resume with longer limits, retry and try, as a user types them."""

import json
from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError
from cloudtune.run import Run
from cloudtune.ui.actions import ACTIONS

JOB = """\
name: going-on
trial:
  command: if [ -e {folder}/broken ] && [ {{k}} = 2 ]; then exit 1; fi; echo loss={{x}}
  environment: {{TOKEN: "t-1"}}
objective: {{metric: loss, goal: minimize}}
space:
  x: {{type: float, low: 0, high: 1}}
  k: {{type: int, low: 1, high: 2}}
  kind: {{type: categorical, values: ["1", net]}}
first: [{{x: 0.5, k: 2}}]
strategy: {{type: random, seed: 1}}
limits: {{trials: 2}}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose first trial failed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(JOB.format(folder=tmp_path))
    (tmp_path / "broken").touch()
    assert run_app(["run", "job.yaml", "-q"]) == 0
    return api.attach(project=tmp_path)


def test_a_run_goes_on_as_its_user_types(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_app(["try", "x=0.25", "kind=1"]) == 0
    after = (
        f"{run.id}: x=0.25 kind=1 is run after: cloudtune resume {run.id} --trials +1 (the run has ended: completed)\n"
    )
    assert capsys.readouterr().out == after
    assert run_app(["resume", "--trials", "+1"]) == 2
    assert "give TOKEN again, by --env TOKEN" in capsys.readouterr().err
    assert run_app(["resume", "--trials", "+2", "--set", "limits.failed=5", "--env", "TOKEN=t-1"]) == 0
    said = capsys.readouterr()
    assert f"{run.id}: extended: limits.trials: 2 → 4; limits.failed: none → 5" in said.err
    assert "1 completed, 3 failed" in said.out
    (tmp_path / "broken").unlink()
    assert run_app(["retry", "latest", "--failed", "-q", "--env", "TOKEN=t-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"completed": 4}
    assert [trial.origin for trial in run.trials()] == ["first", "", "tried", ""]
    assert run.trials()[2].parameters | {"k": 0} == {"x": 0.25, "k": 0, "kind": "1"}
    assert run.trials()[0].attempt == 2
    run_app(["trials"])
    assert capsys.readouterr().out.split("\n")[0].split()[-2:] == ["from", "why"]
    run_app(["best"])
    assert "trial 2 (tried): loss = 0.25" in capsys.readouterr().out or run.best != run.trial(2)
    run_app(["trials", "--json"])
    assert [each["origin"] for each in json.loads(capsys.readouterr().out)] == ["first", "", "tried", ""]
    assert run_app(["try", "k=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": run.id, "state": "completed", "enqueued": [{"k": 1}]}
    run_app(["show"])
    assert "enqueued k=1\n" in capsys.readouterr().out
    assert "from" in run.report(tmp_path / "report.html").read_text()


def test_what_a_run_does_not_take_is_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anew = f"cloudtune run JOB.yaml --set 'warm_start=[{run.id}]'"
    refused = {
        ("resume", "job.yaml"): "job.yaml is the file of a job, not a run",
        (
            "resume",
            "latest",
            "--set",
            "space.x.high=2",
        ): f"a changed job is a new run, which learns from this one: {anew}",
        ("resume", "latest", "--set", "limits.target"): "--set takes limits.NAME=VALUE",
        ("resume", "latest", "--trials", "+many"): "'many' is no number of trials",
        ("resume", "latest", "--trials", "+1", "--env", "NO_SUCH_VARIABLE"): "this shell has no such variable",
        ("retry", "latest", "one"): "'one' is no number of a trial",
        ("retry", "latest", "1", "--failed"): "name trials, or say --failed",
        ("retry", "latest", "1", "--env", "TOKEN=t"): "trial 1 is completed",
        ("try", "latest"): "say what to try, such as lr=0.01",
        ("try", "x=7"): "x: 7 is outside 0.0 to 1.0",
        ("try", "latest", "x"): "a value is given as NAME=VALUE",
        ("try", "y=1"): "the space has no parameter 'y'; known are: x, k, kind",
    }
    for words, message in refused.items():
        assert run_app(list(words)) in (1, 2), words
        assert message in capsys.readouterr().err.replace("\n", " "), words
    assert run_app(["resume"]) == 0
    assert f"has ended already: completed; go on with: cloudtune resume {run.id} --trials +N" in capsys.readouterr().err
    (tmp_path / "job.yaml").write_text(JOB.format(folder=tmp_path) + "# edited\n")
    assert run_app(["resume", "--trials", "+1", "--env", "TOKEN=t-1", "-q"]) == 0
    said = capsys.readouterr().err
    assert f"job.yaml has changed since {run.id} was launched: it goes on as it was launched." in said
    assert f"job.yaml --set 'warm_start=[{run.id}]'" in said


def test_a_run_that_cannot_go_on_as_it_is_asked_to_is_left_as_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the limits would be longer already when the user asks for that again."""
    before = run.record
    monkeypatch.setattr(Run, "lost_emulators", True)
    monkeypatch.setattr(Run, "leads_to_emulators", False)
    assert run_app(["resume", "--trials", "+2", "--env", "TOKEN=t-1", "--detach"]) == 2
    assert run_app(["retry", "--env", "TOKEN=t-1", "--detach"]) == 2
    for action in ("extend", "retry"):
        with pytest.raises(ConfigError, match="its emulator|emulator of"):
            ACTIONS[action](run, {"trials": 2} if action == "extend" else {})
    assert api.attach(run.id, project=run.project).record == before
