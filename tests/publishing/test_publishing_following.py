"""Publishing until a run ends: what is told when, troubles on the way, one publisher at a time, the command line."""

import json
import math
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_runs import START, StagedRun, finished_run, report, trial

from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, ProviderError, RunBusy
from cloudtune.publishing import Publisher, publisher, publisher_of
from cloudtune.publishing.address import masked_address, without_secrets
from cloudtune.publishing.points import improvements, points_of
from cloudtune.publishing.target import Target
from cloudtune.spec.objective import Objective
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState


class Notebook(Target):
    """Writes down what it is told; fails while it is out of order."""

    name = "notebook"
    place = "a notebook"
    look = "open it"

    def __init__(self, run: StagedRun, address: str = "somewhere") -> None:
        super().__init__(run, address)
        self.told: list[Any] = []
        self.broken: Iterable[bool] = iter(())

    def open(self) -> None:
        self._write("open")

    def take_trial(self, trial: Trial, reports: Sequence[Report]) -> None:
        self._write((trial.number, trial.state.value, [report.step for report in reports]))

    def take_run(self, record: RunRecord, ended: Sequence[Trial]) -> None:
        self._write((record.state.value, [trial.number for trial in ended]))

    def _write(self, what: Any) -> None:
        if next(self.broken, False):  # type: ignore[call-overload]  # an iterator
            raise OSError(f"no pen for {what!r}")
        self.told.append(what)


@pytest.fixture
def run(tmp_path: Path) -> StagedRun:
    return StagedRun(tmp_path)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "LOOK", 0.001)


def test_a_look_tells_what_is_new_and_nothing_else(run: StagedRun) -> None:
    notebook = Notebook(run)
    with Publisher(run, [notebook]) as looking:

        def told() -> list[Any]:
            notebook.told.clear()
            looking.publish()
            return list(notebook.told)

        run.tell(trial(0), trial(1, TrialState.RUNNING), reports=[report(0, 1, accuracy=1.0)])
        assert told() == [(0, "completed", [1]), (1, "running", []), ("running", [0])]
        assert told() == []
        run.tell(reports=[report(1, 1, accuracy=1.0), report(1, 2, accuracy=1.0)])
        assert told() == [(1, "running", [1, 2])]
        assert told() == []
        run.tell(trial(1, TrialState.RUNNING, attempt=2), reports=[report(1, 1, 2, accuracy=1.0)])
        assert told() == [(1, "running", [1]), ("running", [0])]
        run.tell(trial(1, attempt=2))
        run.end()
        assert told() == [(1, "completed", [1]), ("completed", [0, 1])]
        assert told() == []


def test_following_ends_with_the_run_and_misses_nothing(run: StagedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook(run)
    steps = iter([
        lambda: run.tell(trial(0, TrialState.RUNNING)),
        lambda: run.tell(trial(0), trial(1, TrialState.RUNNING)),
        lambda: (run.tell(trial(1)), run.end()),
    ])  # fmt: skip
    monkeypatch.setattr(publisher.time, "sleep", lambda _: next(steps)())
    with Publisher(run, [notebook]) as following:
        assert following.publish(follow=True) is RunState.COMPLETED
    assert [each for each in notebook.told if each[0] in (0, 1)] == [
        (0, "running", []), (0, "completed", []), (1, "running", []), (1, "completed", []),
    ]  # fmt: skip
    assert notebook.told[-1] == ("completed", [0, 1])


@pytest.mark.parametrize("state", [RunState.INTERRUPTED, RunState.FAILED, RunState.CANCELLED])
def test_following_ends_where_nobody_drives_the_run_any_more(run: StagedRun, state: RunState) -> None:
    run.end(state)
    with Publisher(run, [Notebook(run)]) as following:
        assert following.publish(follow=True) is state


def test_a_target_that_fails_for_a_while_gets_everything_later(run: StagedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook, said, looks = Notebook(run), [], iter(range(1, 100))

    def pass_time(_: float) -> None:
        moment[0] += 40.0  # later than any pause after a failure
        if next(looks) == 6:
            run.end()

    moment = [0.0]
    monkeypatch.setattr(publisher.time, "monotonic", lambda: moment[0])
    monkeypatch.setattr(publisher.time, "sleep", pass_time)
    run.tell(trial(0), trial(1))
    with Publisher(run, [notebook]) as following:
        notebook.broken = iter([False, True, True, False, True])
        assert following.publish(follow=True, tell=said.append) is RunState.COMPLETED
    assert said == [
        "notebook at somewhere: no pen for (1, 'completed', []); trying again",
        "notebook at somewhere: no pen for (0, 'completed', []); trying again",
        "notebook at somewhere: no pen for (1, 'completed', []); trying again",
    ]
    assert notebook.told[-4:] == [
        (0, "completed", []),
        (1, "completed", []),
        ("running", [0, 1]),
        ("completed", [0, 1]),
    ]


def test_a_service_that_cannot_be_reached_for_a_while_is_tolerated(
    run: StagedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    answers: Any = iter([ProviderError("no route to the service", retryable=True), None, ProviderError("you may not")])

    def refresh(_: object) -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    monkeypatch.setattr(run, "_provider", type("Far", (), {"refresh": staticmethod(refresh)}))
    monkeypatch.setattr(publisher, "REFRESH", 0.0)
    run.tell(trial(0))
    notebook = Notebook(run)
    with Publisher(run, [notebook]) as following, pytest.raises(ProviderError, match="you may not"):
        following.publish(follow=True, tell=said.append)
    assert said == ["no route to the service; trying again"]
    assert notebook.told[1:] == [(0, "completed", []), ("running", [0])]


def test_a_target_that_fails_at_the_end_is_an_error(run: StagedRun) -> None:
    notebook = Notebook(run)
    run.tell(trial(0))
    run.end()
    with Publisher(run, [notebook]) as following:
        notebook.broken = iter([True])
        with pytest.raises(ProviderError, match="no pen for"):
            following.publish(follow=True)


def test_only_one_publishes_a_run_to_a_place_at_a_time(run: StagedRun) -> None:
    first, second, elsewhere = Notebook(run), Notebook(run), Notebook(run, "elsewhere")
    with Publisher(run, [first]):
        with pytest.raises(RunBusy, match="notebook at somewhere already"), Publisher(run, [elsewhere, second]):
            pytest.fail("two publish at once")
        with Publisher(run, [elsewhere]):  # also after it was held in vain
            pass
    with Publisher(run, [second]):
        pass
    assert second.told == ["open"]


def test_a_target_that_cannot_be_opened_holds_no_lock(run: StagedRun) -> None:
    broken = Notebook(run)
    broken.broken = iter([True])
    with pytest.raises(ProviderError), Publisher(run, [broken]):
        pytest.fail("it was opened")
    with Publisher(run, [broken]):
        pass


def test_nothing_to_publish_to_is_an_error(run: StagedRun) -> None:
    with pytest.raises(ConfigError, match="--optuna URL, --mlflow URI, --tensorboard FOLDER"):
        publisher_of(run)


# Points


BEST = (Objective(metric="score", goal="minimize", measurement="best"),)


@given(st.lists(st.dictionaries(st.sampled_from(["score", "loss"]), st.floats(width=32)), max_size=6))
def test_each_curve_ends_with_the_value_that_counts_and_only_grows(told: list[dict[str, float]]) -> None:
    from cloudtune.results.progress import keep_counting_values

    metrics: dict[str, float] = {}
    reports = [Report(0, 1, step, START + step, values) for step, values in enumerate(told, 1)]
    before: list[str] = []
    for count in range(len(reports) + 1):
        found = [repr(each) for each in points_of(trial(0, TrialState.RUNNING), reports[:count], BEST)]
        assert found[: len(before)] == before
        before = found
    for each in reports:
        keep_counting_values(BEST, metrics, each.metrics)
    ended = points_of(trial(0, metrics=metrics), reports, BEST)
    assert [repr(each) for each in ended] == before  # all was reported: nothing has to be added
    last = {each.name: each.value for each in ended}
    assert {"score.best": last.get("score.best"), "loss": last.get("loss")} == pytest.approx(
        {"score.best": metrics.get("score"), "loss": metrics.get("loss")}, nan_ok=True
    )


def test_what_a_service_tells_in_single_precision_is_no_further_point() -> None:
    reports, objectives = [report(0, 1, accuracy=0.1)], (Objective(metric="accuracy", goal="maximize"),)
    assert len(points_of(trial(0, metrics={"accuracy": 0.10000000149011612}), reports, objectives)) == 1
    assert len(points_of(trial(0, metrics={"accuracy": 0.1001}), reports, objectives)) == 2
    assert len(points_of(trial(0, metrics={"accuracy": math.nan}), reports, objectives)) == 2


def test_the_best_so_far_counts_ended_trials() -> None:
    ended = [
        trial(0, TrialState.FAILED), trial(1, metrics={"score": 3.0}), trial(2, metrics={"score": 4.0}),
        trial(3, TrialState.PRUNED, metrics={"score": 0.0}), trial(4, metrics={"score": 1.0}),
    ]  # fmt: skip
    found = improvements((Objective(metric="score", goal="minimize"),), (), ended)
    assert [(each.step, each.value, each.time) for each in found] == [(2, 3.0, START + 15), (5, 1.0, START + 45)]


# Addresses


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:///study.db", "sqlite:///study.db"),
        ("postgresql+psycopg://me:a:b@c%21@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("https://host/x?a=1&api_key=k&Token=t#f", "https://host/x?a=1&api_key=***&Token=***#f"),
        ("mysql://me@host/db?password=p", "mysql://me@host/db?password=***"),
        ("./logs/a:b@c", "./logs/a:b@c"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert masked_address(address) == shown


def test_messages_lose_the_secrets_of_an_address_however_they_write_them() -> None:
    said = "no way to me:p%40ss@host with p@ss or p%40ss, token tttt"
    assert (
        without_secrets(said, "db://me:p%40ss@host/?token=tttt") == "no way to me:***@host with *** or ***, token ***"
    )


# The command line


def test_the_command_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("tensorboard")
    finished_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    places = ["--optuna", "study.log", "--tensorboard", "my logs"]
    assert run_app(["publish", "digits", *places]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "optuna: study digits-1a2b", "  optuna-dashboard study.log",
        "tensorboard: folder my logs/digits-1a2b", "  tensorboard --logdir 'my logs/digits-1a2b'",
    ]  # fmt: skip
    assert "note: optuna: shown under the nearest distribution that Optuna has: size" in shown.err
    assert shown.err.splitlines()[-1] == "digits-1a2b: completed, 6 trials published"
    assert run_app(["publish", "--follow", "--json", *places]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["run"], data["state"]) == ("digits-1a2b", "completed")
    assert [(each["target"], each["look"]) for each in data["published"]] == [
        ("optuna", "optuna-dashboard study.log"), ("tensorboard", "tensorboard --logdir 'my logs/digits-1a2b'"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "nothing to publish to"),
        (["--experiment", "x", "--tensorboard", "t"], 2, "give --mlflow URI"),
        (["nothing-like-it", "--tensorboard", "t"], 5, "there is no run 'nothing-like-it'"),
        (["--optuna", "study.db"], 2, "write sqlite:///study.db"),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    finished_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_app(["publish", *words]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "study.db").exists()


def test_publishing_in_a_thread_of_its_own_goes_on_beside_the_run(tmp_path: Path) -> None:
    """As a notebook would do it: the thread attaches for itself."""
    pytest.importorskip("tensorboard")
    from cloudtune import Float, api, tune

    started, failures = threading.Event(), []

    def follow() -> None:
        try:
            started.wait(100)
            api.attach("mine", project=tmp_path).publish(tensorboard=tmp_path / "logs", follow=True)
        except Exception as error:  # noqa: BLE001  # told by the test
            failures.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    run = tune(
        lambda x: x, {"x": Float(low=0, high=1)}, maximize="v", trials=6, project=tmp_path, run_id="mine",
        watcher=lambda _: started.set(),
    )  # fmt: skip
    thread.join(60)
    assert failures == []
    assert len(list((tmp_path / "logs" / "mine").glob("trial-*"))) == len(run.trials()) == 6
