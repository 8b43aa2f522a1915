"""From the page a run of real trials is given more of them, and those that failed are run again, to the run's end."""

from pathlib import Path

import pytest
from live_pages import served

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState

SCRIPT = """
import pathlib, sys
import cloudtune.trial as t
if t.number() == 1 and not pathlib.Path(MENDED).exists():
    sys.exit("no data yet")
t.report(loss=t.params()["x"])
"""


def submitted(folder: Path) -> Run:
    (folder / "train.py").write_text(SCRIPT.replace("MENDED", repr(str(folder / "mended"))))
    data = {
        "name": "going-on",
        "trial": {"command": "python train.py"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "strategy": {"type": "random", "seed": 1},
        "limits": {"trials": 2},
    }
    return api.submit(TuningJob.from_data(data), "local", project=folder, base=folder)


@pytest.mark.complete
def test_a_run_is_extended_and_its_failed_trials_are_retried(tmp_path: Path) -> None:
    run = submitted(tmp_path)
    assert run.wait() is RunState.COMPLETED
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED, TrialState.FAILED]
    (tmp_path / "mended").touch()
    with served(tmp_path, control=True) as client:
        assert client.act("retry", run.id, failed=True) == (200, {"said": f"{run.id} goes on"})
        assert run.wait() is RunState.COMPLETED
        first = run.trials()
        assert [(trial.state, trial.attempt) for trial in first] == [
            (TrialState.COMPLETED, 1),
            (TrialState.COMPLETED, 2),
        ]
        assert client.act("extend", run.id, trials="+1") == (200, {"said": f"{run.id} goes on"})
        assert run.wait() is RunState.COMPLETED
        shown = client.get("/api/table", ("run", run.id), ("as", "json"))
        assert [(row["number"], row["state"]) for row in shown] == [
            (0, "completed"),
            (1, "completed"),
            (2, "completed"),
        ]
    after = api.attach(run.id, project=tmp_path)
    assert [trial.state for trial in after.trials()] == [TrialState.COMPLETED] * 3
    assert after.trials()[:2] == first
    assert after.job.limits.trials == 3
