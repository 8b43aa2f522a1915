"""A run as a study of Optuna, read back with Optuna itself and with optuna-dashboard."""

import contextlib
import json
import math
import random
import subprocess
import sys
import threading
import urllib.request
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from late import LATE
from published_runs import START, StagedRun, charged_run, fail_at, finished_run, report, stages, trial

from cloudtune import TuningJob, api
from cloudtune.errors import ConfigError, ProviderError
from cloudtune.interop.formats import load_format
from cloudtune.publishing import publisher_of
from cloudtune.publishing.optuna import STATES
from cloudtune.space.space import Space
from cloudtune.store.records import TrialState
from cloudtune.testing.conformance import wait_until
from cloudtune.testing.specs import spaces

if LATE:
    optuna = pytest.importorskip("optuna")
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState as Optunas

    from cloudtune.publishing.optuna_space import ShownSpace


def load(storage: Any, name: str = "digits-1a2b") -> Any:
    return optuna.load_study(study_name=name, storage=storage)


@pytest.fixture(params=["sqlite", "journal", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A storage as `Run.publish` takes it."""
    if request.param == "memory":
        return optuna.storages.InMemoryStorage()
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else str(tmp_path / "study.log")


def opened(storage: Any) -> Any:
    """The storage as Optuna's own functions take it."""
    if isinstance(storage, str) and "://" not in storage:
        backend = optuna.storages.journal.JournalFileBackend(storage)
        return optuna.storages.JournalStorage(backend)
    return storage


def essence(study: Any) -> list[Any]:
    """What a study has of its trials, apart from the ends of those that were seen running."""
    return [
        (
            each.number, each.state, each.values, each.params, each.distributions, each.user_attrs,
            sorted((step, repr(value)) for step, value in each.intermediate_values.items()),
        )
        for each in study.trials
    ]  # fmt: skip


def test_every_state_has_its_counterpart() -> None:
    assert set(STATES) == set(TrialState)
    assert set(STATES.values()) == {state.name for state in Optunas}


def test_a_finished_run_is_read_back_as_it_was_however_often_it_is_published(tmp_path: Path, storage: Any) -> None:
    run = finished_run(tmp_path)
    (published,) = run.publish(optuna=storage)
    assert published.name == "study digits-1a2b"
    study = load(opened(storage))
    trials = study.trials
    assert [each.state.name for each in trials] == ["COMPLETE", "COMPLETE", "COMPLETE", "PRUNED", "FAIL", "FAIL"]
    assert [each.value for each in trials] == [0.5, 0.51, 0.9, 0.3, None, None]
    assert study.best_trial.number == run.best.number == 2
    assert study.best_params == run.best.parameters
    assert study.direction.name == "MAXIMIZE"
    assert study.metric_names == ["accuracy"]
    assert study.user_attrs["cloudtune:state"] == "completed"
    assert TuningJob.from_yaml(study.user_attrs["cloudtune:job"]) == run.job
    assert trials[0].params == {"lr": 0.5, "size": 16, "kernel": None}
    assert trials[2].distributions == {
        "lr": FloatDistribution(1e-4, 1, log=True),
        "size": CategoricalDistribution([16, 32, 64]),
        "kernel": CategoricalDistribution(["rbf", "poly", None]),
        "degree": IntDistribution(2, 5),
    }
    assert trials[2].intermediate_values == {1: 0.3, 2: 0.6, 3: pytest.approx(0.9)}
    assert trials[3].intermediate_values == {1: 0.25, 2: pytest.approx(0.3)}
    assert trials[2].datetime_start == datetime.fromtimestamp(START + 20)  # noqa: DTZ006  # as Optuna has it
    assert trials[2].datetime_complete == datetime.fromtimestamp(START + 25)  # noqa: DTZ006
    assert trials[4].user_attrs["cloudtune:reason"] == "exit code 3"
    assert [each.user_attrs["cloudtune:state"] for each in trials[4:]] == ["failed", "cancelled"]
    assert trials[2].user_attrs["metrics_loss"] == 0.25
    frame = study.trials_dataframe()
    assert frame["params_degree"].dropna().tolist() == [3.0] * 5
    assert frame["duration"].dt.total_seconds().tolist() == [5.0] * 5 + [0.0]
    assert any("learning curves" in note for note in published.notes)
    run.publish(optuna=storage)
    assert load(opened(storage)).trials == trials  # nothing comes twice


def test_what_happens_after_the_end_of_a_run_comes_along(tmp_path: Path, storage: Any) -> None:
    run = finished_run(tmp_path)
    run.publish(optuna=storage)
    run.tell(trial(4, attempt=2, metrics={"accuracy": 0.95, "loss": 0.1}), trial(6))
    for _ in range(2):  # nothing comes twice
        run.publish(optuna=storage)
        study = load(opened(storage))
        assert [each.user_attrs["cloudtune:number"] for each in study.trials] == [0, 1, 2, 3, 4, 5, 4, 6]
        assert [each.state.name for each in study.trials[4:]] == ["FAIL", "FAIL", "COMPLETE", "COMPLETE"]
        assert study.best_value == 0.95


LIVE = {
    "waiting": ["WAITING", "WAITING"],
    "running": ["RUNNING", "WAITING"],
    "reported": ["RUNNING", "WAITING"],
    "failed, to be tried again": ["WAITING", "RUNNING"],
    "retried": ["RUNNING", "RUNNING"],
    "reported by both": ["RUNNING", "RUNNING"],
    "ended": ["COMPLETE", "PRUNED"],
    "over": ["COMPLETE", "PRUNED"],
}


@pytest.mark.parametrize(
    ("storage", "anew"),
    [("memory", False), ("memory", True), ("journal", True), ("sqlite", False)],
    indirect=["storage"],
)
def test_a_live_run_is_followed_through_every_state(tmp_path: Path, storage: Any, anew: bool) -> None:
    run = StagedRun(tmp_path)
    seen = {}
    with contextlib.ExitStack() as stack:
        one = None if anew else stack.enter_context(publisher_of(run, optuna=storage))
        for stage in stages(run):
            if one is None:
                run.publish(optuna=storage)
            else:
                one.publish()
            trials = load(opened(storage)).trials
            seen[stage] = [each.state.name for each in trials]
            if stage == "reported":
                assert trials[0].intermediate_values == {1: 0.9, 2: 0.9, 3: 0.9}
                assert trials[0].datetime_start is not None
            if stage == "reported by both":
                assert (trials[0].intermediate_values[1], trials[0].intermediate_values[2]) == (0.1, 0.2)
                assert math.isnan(trials[0].intermediate_values[3])  # of the attempt before, which cannot be removed
    assert seen == LIVE
    assert [each.value for each in trials] == [0.25, 0.05]
    assert trials[0].user_attrs["cloudtune:attempt"] == 2
    assert trials[1].user_attrs["cloudtune:reason"] == "pruned at step 1"
    assert trials[0].intermediate_values[2] == 0.25


class Killed(BaseException):
    """The end of a process in the middle of its work."""


_WRITING = (
    "create_new_trial", "set_trial_state_values", "set_trial_intermediate_value", "set_trial_user_attr",
    "set_study_user_attr", "create_new_study",
)  # fmt: skip


def failing_at(
    monkeypatch: pytest.MonkeyPatch, storage: Any, call: int, error: BaseException, *, after: bool = False
) -> Callable[[], int]:
    """Let the storage fail instead of writing for the so many-th time, or after it; return how often it wrote."""
    real = {name: getattr(type(storage), name).__get__(storage) for name in _WRITING}
    return fail_at(monkeypatch, storage, real, call, error, after=after)


def test_a_publisher_that_was_killed_at_any_moment_leaves_nothing_twice_and_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = StagedRun(tmp_path)
    run.tell(trial(0, TrialState.RUNNING), reports=[report(0, 1, accuracy=0.1)])
    started = optuna.storages.InMemoryStorage
    whole = started()
    run.publish(optuna=whole)
    unfinished = [started() for _ in range(40)]
    for storage in unfinished:
        run.publish(optuna=storage)
    run.tell(
        trial(0, reason="well"), trial(1), trial(2, TrialState.WAITING),
        reports=[report(0, 2, accuracy=0.5), report(1, 1, accuracy=0.51)],
    )  # fmt: skip
    run.publish(optuna=whole)
    for call, storage in enumerate(unfinished, 1):
        with monkeypatch.context() as patch:
            written = failing_at(patch, storage, call, Killed())
            with contextlib.suppress(Killed):
                run.publish(optuna=storage)
            done = written() < call
        run.publish(optuna=storage)
        assert essence(load(storage)) == essence(load(whole))
        if done:
            return
    pytest.fail("it writes more often than this test can end it")


def test_an_answer_that_is_lost_at_any_moment_makes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, call, done = optuna.storages.InMemoryStorage(), 0, False
    one = StagedRun(tmp_path, "whole")
    for _ in stages(one):
        one.publish(optuna=whole)
    while not done:
        call += 1
        run, storage = StagedRun(tmp_path, f"run-{call}"), optuna.storages.InMemoryStorage()
        with publisher_of(run, optuna=storage) as publisher, monkeypatch.context() as patch:
            written = failing_at(patch, storage, call, ConnectionError("lost"), after=True)
            for _ in stages(run):
                with contextlib.suppress(ProviderError):
                    publisher.publish()
            publisher.publish()
            done = written() < call
        assert essence(load(storage, run.id)) == essence(load(whole, "whole"))
    assert call > 10


@given(entries=spaces(), seed=st.integers(0, 2**31))
@settings(max_examples=examples(40), deadline=None)
def test_the_values_of_any_space_are_shown_as_they_are(entries: dict[str, Any], seed: int) -> None:
    space, draw = Space(entries), random.Random(seed)
    shown = ShownSpace(space)
    for position in (0.0, 1.0, draw.random(), draw.random()):
        values = space.at([position if draw.random() < 0.5 else draw.random() for _ in space.dimensions])
        found = shown.params_of(values)
        assert shown.missing(values) == {}
        assert list(found) == [dimension.key for dimension in space.active(values)]
        frozen = optuna.trial.create_trial(  # raises if a distribution does not hold its value
            value=0.0,
            params={key: value for key, (value, _) in found.items()},
            distributions={key: distribution for key, (_, distribution) in found.items()},
        )
        for dimension in space.active(values):
            ours, theirs = values[dimension.name], frozen.params[dimension.key]
            if isinstance(theirs, str) and theirs != ours:
                theirs = json.loads(theirs)
            assert theirs == ours or theirs == pytest.approx(ours, rel=1e-9)


def test_variants_and_values_of_nowhere_are_kept(tmp_path: Path) -> None:
    run = StagedRun(
        tmp_path,
        space={
            "kind": {"type": "categorical", "values": ["a", "b"]},
            "x": [
                {"type": "int", "low": 1, "high": 3, "when": {"kind": "a"}},
                {"type": "categorical", "values": ["s", "t"], "when": {"kind": "b"}},
            ],
        },
    )
    run.tell(
        trial(0, parameters={"kind": "a", "x": 2}),
        trial(1, parameters={"kind": "b", "x": "t"}),
        trial(2, parameters={"kind": "b", "x": "never heard of", "y": 4}),
    )
    storage = optuna.storages.InMemoryStorage()
    (published,) = run.publish(optuna=storage)
    trials = load(storage).trials
    assert [each.params for each in trials] == [{"kind": "a", "x[0]": 2}, {"kind": "b", "x[1]": "t"}, {"kind": "b"}]
    assert trials[2].user_attrs["params_x"] == "never heard of"
    assert trials[2].user_attrs["params_y"] == 4
    assert any(note.endswith("x, y") for note in published.notes)


def test_several_objectives_have_their_front(tmp_path: Path) -> None:
    run = StagedRun(
        tmp_path, objective=[{"metric": "accuracy", "goal": "maximize"}, {"metric": "loss", "goal": "minimize"}]
    )
    run.tell(
        *(trial(number, metrics={"accuracy": number, "loss": abs(number - 1)}) for number in (0, 1, 2)),
        trial(3, TrialState.PRUNED, metrics={"accuracy": 9.0}),
        trial(4, TrialState.FAILED, metrics={"accuracy": math.nan, "loss": math.inf}),
        reports=[report(0, 1, accuracy=0.0, loss=1.0)],
    )
    storage = optuna.storages.InMemoryStorage()
    (published,) = run.publish(optuna=storage)
    study = load(storage)
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [each.number for each in study.best_trials] == [each.number for each in run.front] == [1, 2]
    assert study.trials[3].values is None
    assert study.trials[3].user_attrs["metrics_accuracy"] == 9.0
    assert study.trials[4].user_attrs["metrics_accuracy"] == "NaN"  # JSON has no such number
    assert any("several objectives" in note for note in published.notes)


def test_a_study_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    run, storage = finished_run(tmp_path), optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name=run.id, storage=storage, direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(ConfigError, match="not of this run"):
        run.publish(optuna=storage)
    assert [each.user_attrs for each in study.trials] == [{}]


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("study.db", ConfigError, "sqlite:///study.db"),
        ("nothing://x", ConfigError, "no address of a database"),
        ("sqlite:////nowhere/at/all.db", ProviderError, "unable to open database file"),
        ("postgresql+nodriver://u:hidden@127.0.0.1/d", ConfigError, r"u:\*\*\*@127"),
    ],
)
def test_addresses_that_lead_nowhere_are_told_without_passwords(
    tmp_path: Path, url: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        finished_run(tmp_path).publish(optuna=url)
    assert "hidden" not in str(raised.value)


def test_optuna_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[optuna\]"):
        finished_run(tmp_path).publish(optuna="sqlite:///study.db")


# A live run in the dashboard

PATIENT = """
import pathlib, time
import cloudtune.trial as t
t.report(score=t.params()["x"], step=1)
until = time.monotonic() + 60
while not pathlib.Path("{folder}", "go on").exists() and time.monotonic() < until:
    time.sleep(0.02)
t.report(score=t.params()["x"] + 1, step=2)
"""


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Serves a study.db; gives what its API answers."""
    wsgi = pytest.importorskip("optuna_dashboard").wsgi

    class Silent(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, wsgi(storage), handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def get(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/api/{path}", timeout=100) as answer:
            return json.load(answer)

    yield get
    server.shutdown()
    thread.join()
    server.server_close()
    storage.engine.dispose()


@pytest.mark.complete
def test_the_dashboard_shows_a_live_run(tmp_path: Path, dashboard: Callable[[str], Any]) -> None:
    (tmp_path / "train.py").write_text(PATIENT.format(folder=tmp_path))
    job = TuningJob.from_data(
        {
            "name": "live",
            "trial": {"command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 3, "parallel": 2},
        }
    )
    run = api.submit(job, project=tmp_path, base=tmp_path, run_id="live-1")
    words = ["publish", run.id, "--optuna", f"sqlite:///{tmp_path}/study.db", "--follow"]
    publisher = subprocess.Popen(
        [sys.executable, "-m", "cloudtune", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:

        def shown() -> list[tuple[str, int]]:
            studies = dashboard("studies")["study_summaries"]
            if not any(each["study_name"] == "live-1" for each in studies):
                return []
            trials = dashboard(f"studies/{studies[0]['study_id']}")["trials"]
            return [(each["state"], len(each["intermediate_values"])) for each in trials]

        wait_until(lambda: shown() == [("Running", 1)] * 2)
        (tmp_path / "go on").touch()
        wait_until(lambda: shown() == [("Complete", 2)] * 3)
        out, err = publisher.communicate(timeout=60)
    finally:
        publisher.kill()
        run.cancel()
        run.wait()
    assert publisher.returncode == 0
    assert "study live-1" in out
    assert f"optuna-dashboard sqlite:///{tmp_path}/study.db" in out
    assert "live-1: completed, 3 trials published" in err
    (study,) = dashboard("studies")["study_summaries"]
    details = dashboard(f"studies/{study['study_id']}")
    assert details["best_trials"][0]["values"] == [run.best.metrics["score"]]
    assert details["objective_names"] == ["score"]
    assert details["trials"][0]["params"][0]["param_external_value"] == str(run.trials()[0].parameters["x"])


def test_what_trials_cost_are_attributes_and_a_study_with_them_is_imported(tmp_path: Path) -> None:
    run = charged_run(tmp_path)
    storage = f"sqlite:///{tmp_path}/study.db"
    run.publish(optuna=storage)
    study = load(storage)
    found = [
        (each.user_attrs.get("cloudtune:cost"), each.user_attrs.get("cloudtune:currency")) for each in study.trials
    ]
    assert found == [(0.5, "EUR"), (0.0, "EUR"), (None, None)]
    assert study.user_attrs["cloudtune:cost"] == "0.5000 of 5.00 EUR"
    imported = load_format("optuna").read(storage)
    assert [each["accuracy"] for each in imported.trials] == [0.5, 0.52]
    assert {name for each in imported.trials for name in each} == {"accuracy", "lr", "size", "kernel", "degree"}
