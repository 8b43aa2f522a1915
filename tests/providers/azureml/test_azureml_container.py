"""What a trial finds in a container of Azure Machine Learning, and how its metrics get to MLflow."""

import contextlib
import email.message
import http.client
import io
import math
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from cloudtune_azureml import container


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, "0"),
        ({"NODE_RANK": "1"}, "1"),
        ({"NODE_RANK": "0", "RANK": "1"}, "1"),
        ({"OMPI_COMM_WORLD_RANK": "3", "NODE_RANK": "1"}, "3"),
        ({"TF_CONFIG": '{"task": {"type": "worker", "index": 0}}'}, "0"),
        ({"TF_CONFIG": '{"task": {"type": "worker", "index": 2}}'}, "3"),
        ({"TF_CONFIG": '{"task": {"type": "ps", "index": 0}}'}, "1"),
        ({"TF_CONFIG": "nonsense"}, "0"),
    ],
)
def test_azure_tells_processes_apart_in_many_ways(
    variables: dict[str, str], rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in {"AZUREML_RUN_ID": "sweep_7", **variables}.items():
        monkeypatch.setenv(name, value)
    found = container.Container().environment()
    assert (found["CLOUDTUNE_RANK"], found["CLOUDTUNE_TRIAL"]) == (rank, "7")
    if rank != "0":
        assert container.Container().sink() is None


@pytest.mark.parametrize("uri", ["", "file:///tmp/mlruns", "databricks"])
def test_azure_without_a_server_of_mlflow_says_that_metrics_are_lost(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZUREML_RUN_ID", "sweep_0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert container.Container().sink() is None
    assert "the service learns no metrics" in capsys.readouterr().err


def test_a_server_of_mlflow_that_refuses_loses_the_metric_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, Any]] = []

    def refuse(self: container.MlflowTracking, url: str, body: Any) -> None:
        asked.append((url, body))
        raise urllib.error.HTTPError(url, 400, "no such run", email.message.Message(), None)

    monkeypatch.setattr(container.MlflowTracking, "_send", refuse)
    monkeypatch.setenv("AZUREML_RUN_ID", "sweep_0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "azureml://region.api.azureml.ms/mlflow/v1.0/subscriptions/s?x=1")
    sink = container.Container().sink()
    assert sink is not None
    sink(3, 12.5, {"score": math.nan, "loss": 2.0})
    ((url, body),) = asked
    assert url == "https://region.api.azureml.ms/mlflow/v1.0/subscriptions/s/api/2.0/mlflow/runs/log-batch"
    assert body["metrics"][0] == {"key": "score", "value": "NaN", "timestamp": 12500, "step": 3}
    assert "did not take score, loss of step 3" in capsys.readouterr().err


def test_a_server_of_mlflow_that_is_gone_holds_up_one_report_and_is_heard_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After one report in vain, those that follow try a new token, and no more until one gets there."""
    tokens: list[str] = []
    answers: list[Any] = []

    def ask(request: urllib.request.Request, **_: Any) -> Any:
        tokens.append(request.get_header("Authorization", ""))
        if request.full_url.endswith("/token"):
            return contextlib.closing(io.BytesIO(b'{"token": "new"}'))
        answer = answers.pop(0) if answers else urllib.error.URLError("gone")
        if isinstance(answer, Exception):
            raise answer
        return contextlib.closing(io.BytesIO(answer))

    monkeypatch.setattr(urllib.request, "urlopen", ask)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "old")
    tracking = container.MlflowTracking("http://127.0.0.1:9/mlflow/v1.0", "run")
    counts = []
    for given in ([], [], [urllib.error.HTTPError("", 401, "old", email.message.Message(), None), b"{}"], []):
        answers[:], before = given, len(tokens)
        with contextlib.nullcontext() if given else pytest.raises(OSError, match="gone"):
            tracking.log(1, 2.0, {"loss": 3.0})
        counts.append(len(tokens) - before)
    assert counts == [tracking.TRIES, 2, 3, tracking.TRIES]
    assert tokens[-1] == "Bearer new"


def test_an_answer_that_breaks_off_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no OSError, and a report that it ended would take the trial along."""
    answers = iter([http.client.IncompleteRead(b"{"), b"{", b"{}"])

    def ask(*_: Any, **__: Any) -> Any:
        found = next(answers)
        return contextlib.closing(io.BytesIO(found)) if isinstance(found, bytes) else _broken(found)

    monkeypatch.setattr(urllib.request, "urlopen", ask)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    container.MlflowTracking("http://127.0.0.1:9", "run").log(1, 2.0, {"loss": 3.0})
    assert list(answers) == []


@contextlib.contextmanager
def _broken(error: Exception) -> Iterator[Any]:
    class Answer:
        def read(self) -> bytes:
            raise error

    yield Answer()
