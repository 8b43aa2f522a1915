"""The cookbook's page of PyTorch: its script and its job run as they stand there."""

from pathlib import Path

import pytest
from snippets import snippets_of

from cloudtune import RunState, TuningJob, api

PAGE = Path(__file__).parents[2] / "docs" / "cookbook" / "pytorch.md"


@pytest.mark.timeout(400)
def test_the_job_of_the_page_runs_and_leaves_its_model(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for each in snippets_of(PAGE.read_text("utf-8"), PAGE.name):
        (tmp_path / each.title).write_text(each.text, "utf-8")
    job = TuningJob.from_yaml(tmp_path / "job.yaml")
    job = job.model_copy(update={"limits": job.limits.model_copy(update={"trials": 3})})
    run = api.prepare(job, "local", project=tmp_path, base=tmp_path)
    run.wait()
    assert run.state is RunState.COMPLETED, run.events()
    best = run.best
    assert [path.name for path in run.fetch(best.number, tmp_path / "fetched")] == ["model.pt"]
