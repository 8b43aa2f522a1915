"""A state that a newer service has invented ends nothing, and breaks nothing."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from cloudtune.errors import ProviderError
from cloudtune.remote import journal
from cloudtune.store.records import Report, RunState, Trial, TrialState


@pytest.mark.parametrize("provider", ["sagemaker", "vertex", "azureml"])
def test_a_state_that_is_not_known_is_that_of_a_job_that_goes_on(provider: str) -> None:
    tuner = importlib.import_module(f"cloudtune_{provider}.tuner")
    assert tuner.JOB_STATES["Reticulating"] is RunState.RUNNING
    assert tuner.TRIAL_STATES["Reticulating"] is TrialState.RUNNING


class _Head:
    """A job server whose job has one status for ever."""

    def __init__(self, status: str) -> None:
        self.status, self.asked = status, list[tuple[str, str]]()

    def ask(self, method: str, path: str, data: Any = None) -> dict[str, Any]:  # as `HttpApi.ask`
        self.asked.append((method, path))
        return {"submission_id": "j1", "status": self.status}


@pytest.mark.parametrize("status", ["PENDING", "RECONCILING"])
def test_slots_of_a_head_without_room_are_given_up_in_time(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job_server = importlib.import_module("cloudtune_ray.job_server")
    head, times = _Head(status), iter(range(0, 10_000, 50))
    monkeypatch.setattr(job_server.JobServer, "api", head)
    monkeypatch.setattr(job_server.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(job_server.time, "sleep", lambda _: None)
    server = job_server.JobServer({"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(ProviderError, match="has not ended within 120 s"):
        server.dismiss("space", "run-")
    assert head.asked[-1] == ("POST", "api/jobs/j1/stop")


NESTED = "[" * 100_000


@pytest.mark.parametrize(
    "line",
    [
        '{"loss": 1, "global_step": Infinity}',
        '{"loss": 1, "global_step": 1e999}',
        '{"a": ' + NESTED,
        NESTED,
        "3",
        "null",
    ],
)
def test_a_line_of_a_metrics_file_that_is_none_breaks_no_driver(line: str) -> None:
    jobs = importlib.import_module("cloudtune_vertex.jobs")
    known, waiting = jobs._Known(Trial(0, {}), "gs://b/x"), list[Report]()
    for each in (line, '{"loss": 0.5, "global_step": 2}'):
        jobs.VertexRunner._hear(SimpleNamespace(_metrics={"loss": "loss"}), known, f"{each}\n", waiting)
    assert [(report.step, report.metrics) for report in waiting] == [(2, {"loss": 0.5})]


@pytest.mark.parametrize("text", [NESTED, "3", "{}", '{"life": 1'])
def test_a_line_of_a_drivers_log_that_is_no_entry_is_a_gap(text: str) -> None:
    reader = object.__new__(journal.Reader)
    reader.last, reader.gap = (0, 0), False
    reader.read(f"{journal.PREFIX}{text}")
    assert reader.gap
