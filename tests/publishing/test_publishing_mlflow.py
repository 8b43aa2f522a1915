"""A run as runs of MLflow, read back with MLflow's own client."""

import contextlib
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE
from published_runs import START, StagedRun, charged_run, fail_at, finished_run, report, stages, trial

from cloudtune import TuningJob
from cloudtune.errors import ConfigError, ProviderError
from cloudtune.publishing import publisher_of
from cloudtune.publishing.mlflow import RUN_STATES, TRIAL_STATES
from cloudtune.publishing.mlflow_names import LONGEST_PARAM, Names
from cloudtune.store.records import RunState, TrialState

if LATE:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")


pytestmark = pytest.mark.xdist_group("mlflow")  # which takes seconds to load


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of MLflow, which takes seconds to make; each test has an experiment of its own there."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


class Read:
    """What MLflow has in one experiment.

    Attributes:
        client: MLflow's.
        name: of the experiment.
        store: where it is.
    """

    def __init__(self, store: str, name: str) -> None:
        self.client = mlflow.MlflowClient(store)
        self.store, self.name = store, name

    def runs(self) -> list[Any]:
        found = self.client.get_experiment_by_name(self.name)
        return list(
            self.client.search_runs([found.experiment_id], max_results=1000, order_by=["attributes.start_time"])
        )

    @property
    def parent(self) -> Any:
        (run,) = [run for run in self.runs() if "cloudtune.trial" not in run.data.tags]
        return run

    @property
    def trials(self) -> dict[int, Any]:
        """The runs of trials by number; fails if there are two of one."""
        found = [run for run in self.runs() if "cloudtune.trial" in run.data.tags]
        by_number = {int(run.data.tags["cloudtune.trial"]): run for run in found}
        assert len(by_number) == len(found)
        assert {run.data.tags["mlflow.parentRunId"] for run in found} <= {self.parent.info.run_id}
        return by_number

    def curve(self, run: Any, name: str) -> list[tuple[int, float, float]]:
        """Steps, seconds since 1970 and values of a metric; fails if one is there twice."""
        history = self.client.get_metric_history(run.info.run_id, name)
        found = [(each.step, each.timestamp / 1000, each.value) for each in history]
        assert max(Counter(map(repr, found)).values(), default=0) <= 1
        return found

    def essence(self) -> Any:
        """All but the ids."""
        return [
            (
                run.info.run_name, run.info.status, run.info.start_time, run.info.end_time, run.data.params,
                {key: value for key, value in run.data.tags.items() if key not in ("mlflow.parentRunId", "cloudtune.best.run")},
                {name: self.curve(run, name) for name in sorted(run.data.metrics)},
            )
            for run in [self.parent, *(run for _, run in sorted(self.trials.items()))]
        ]  # fmt: skip


@pytest.fixture
def read(store: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(tmp_path)  # MLflow puts artifacts below the working folder
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return Read(store, request.node.name)


def publish(run: StagedRun, read: Read) -> Any:
    (published,) = run.publish(mlflow=read.store, experiment=read.name)
    return published


def test_what_happens_after_the_end_of_a_run_comes_along(tmp_path: Path, read: Read) -> None:
    run = finished_run(tmp_path)
    publish(run, read)
    first = read.parent.data.params
    assert (read.parent.data.tags["cloudtune.best"], first["best.size"]) == ("2", "32")
    better = {"lr": 0.5, "size": 16, "kernel": "poly", "degree": 3}
    run.tell(trial(4, attempt=2, parameters=better, metrics={"accuracy": 0.95, "loss": 0.1}), trial(6))
    for _ in range(2):  # nothing comes twice
        published = publish(run, read)
        assert read.parent.data.tags["cloudtune.best"] == "4"
        assert read.parent.info.status == "FINISHED"
        assert read.parent.data.params == first
        assert {number: each.info.status for number, each in read.trials.items()}[4] == "FINISHED"
        assert [value for *_, value in read.curve(read.parent, "accuracy")][-1] == 0.95
    assert not published.notes or "MLflow changes no parameter" in " ".join(published.notes)


def test_every_state_has_its_counterpart() -> None:
    known = {mlflow.entities.RunStatus.to_string(each) for each in mlflow.entities.RunStatus.all_status()}
    assert set(TRIAL_STATES) == set(TrialState)
    assert set(RUN_STATES) == set(RunState)
    assert set(TRIAL_STATES.values()) == set(RUN_STATES.values()) == known
    for states in (TRIAL_STATES, RUN_STATES):
        for ours, theirs in states.items():
            assert ours.ended == mlflow.entities.RunStatus.is_terminated(mlflow.entities.RunStatus.from_string(theirs))


def test_a_finished_run_is_read_back_as_it_was_however_often_it_is_published(tmp_path: Path, read: Read) -> None:
    run = finished_run(tmp_path)
    published = publish(run, read)
    assert published.look == f"mlflow ui --backend-store-uri {read.store}"
    parent, trials = read.parent, read.trials
    assert (parent.info.run_name, parent.info.status) == (run.id, "FINISHED")
    assert (parent.info.start_time, parent.info.end_time) == (START * 1000, (START + 600) * 1000)
    assert parent.data.params == {
        "provider": "local", "profile": "laptop", "objective.metric": "accuracy", "objective.goal": "maximize",
        "strategy.type": "bayesian", "strategy.seed": "7", "limits.trials": "40", "limits.parallel": "4",
        "best.lr": "0.03", "best.size": "32", "best.kernel": "poly", "best.degree": "3",
    }  # fmt: skip
    assert parent.data.metrics == {"accuracy": 0.9, "loss": 0.25}
    assert read.curve(parent, "accuracy") == [(1, START + 5, 0.5), (2, START + 15, 0.51), (3, START + 25, 0.9)]
    assert parent.data.tags["cloudtune.best"] == "2"
    assert parent.data.tags["cloudtune.best.run"] == trials[2].info.run_id
    folder = Path(read.client.download_artifacts(parent.info.run_id, "job.yaml", str(tmp_path)))
    assert TuningJob.from_yaml(folder) == run.job
    assert [trials[number].info.status for number in range(6)] == ["FINISHED"] * 4 + ["FAILED", "KILLED"]
    assert [trials[number].data.tags["cloudtune.state"] for number in range(6)] == [
        "completed", "completed", "completed", "pruned", "failed", "cancelled",
    ]  # fmt: skip
    assert trials[0].data.params == {"lr": "0.5", "size": "16", "kernel": "None"}
    assert (trials[2].info.start_time, trials[2].info.end_time) == ((START + 20) * 1000, (START + 25) * 1000)
    assert read.curve(trials[2], "accuracy") == [(step, START + 20 + step, 0.3 * step) for step in (1, 2, 3)]
    assert read.curve(trials[0], "accuracy") == [(0, START + 5, 0.5)]  # no reports: the service told the value alone
    assert trials[4].data.tags["cloudtune.reason"] == "exit code 3"
    assert trials[5].info.start_time == trials[5].info.end_time == (START + 55) * 1000
    before = read.essence()
    publish(run, read)
    assert read.essence() == before


@pytest.mark.parametrize(
    "anew",
    [
        pytest.param(False, id="one publisher"),
        pytest.param(True, id="a new publisher each time", marks=pytest.mark.complete),
    ],
)
def test_a_live_run_is_followed_through_every_state(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    sent: list[str] = []  # not every store of MLflow lets a repeated value pass, as its databases do
    real = mlflow.MlflowClient.log_batch

    def log_batch(client: Any, run_id: str, metrics: Any = (), **named: Any) -> None:
        sent.extend(f"{run_id} {each.key} {each.step} {each.timestamp} {each.value}" for each in metrics)
        real(client, run_id, metrics=metrics, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", log_batch)
    run = StagedRun(tmp_path, strategy={"type": "random"})
    seen = {}
    with contextlib.ExitStack() as stack:
        one = None if anew else stack.enter_context(publisher_of(run, mlflow=read.store, experiment=read.name))
        for stage in stages(run):
            if one is None:
                publish(run, read)
            else:
                one.publish()
            statuses = {number: each.info.status for number, each in read.trials.items()}
            seen[stage] = (read.parent.info.status, statuses)
            if stage == "reported":
                assert [step for step, _, _ in read.curve(read.trials[0], "accuracy")] == [1, 2, 3]
    assert seen == {
        "waiting": ("RUNNING", {}),
        "running": ("RUNNING", {0: "RUNNING"}),
        "reported": ("RUNNING", {0: "RUNNING"}),
        "failed, to be tried again": ("RUNNING", {0: "SCHEDULED", 1: "RUNNING"}),
        "retried": ("RUNNING", {0: "RUNNING", 1: "RUNNING"}),
        "reported by both": ("RUNNING", {0: "RUNNING", 1: "RUNNING"}),
        "ended": ("RUNNING", {0: "FINISHED", 1: "FINISHED"}),
        "over": ("FINISHED", {0: "FINISHED", 1: "FINISHED"}),
    }
    assert len(sent) == len(set(sent)) > 6
    retried, pruned = read.trials[0], read.trials[1]
    assert retried.data.tags["cloudtune.attempt"] == "2"
    assert retried.info.start_time == (START + 4) * 1000
    assert [value for _, _, value in read.curve(retried, "accuracy")] == [0.1, 0.2, 0.25]  # none of the first attempt
    assert retried.data.metrics == {"accuracy": 0.25, "loss": 3.0}
    assert pruned.data.tags["cloudtune.state"] == "pruned"


def test_an_interrupted_run_is_scheduled_and_goes_on(tmp_path: Path, read: Read) -> None:
    run = StagedRun(tmp_path)
    run.tell(trial(0))
    run.end(RunState.INTERRUPTED, "interrupted")
    publish(run, read)
    assert (read.parent.info.status, read.parent.data.tags["cloudtune.state"]) == ("SCHEDULED", "interrupted")
    run.tell(trial(1))
    run.end()
    publish(run, read)
    assert (read.parent.info.status, read.parent.data.tags["cloudtune.state"]) == ("FINISHED", "completed")
    assert read.parent.data.tags["cloudtune.reason"] == ""
    assert list(read.trials) == [0, 1]


class Killed(BaseException):
    """The end of a process in the middle of its work."""


_WRITING = ("create_run", "log_batch", "set_terminated", "update_run", "delete_run", "log_text", "create_experiment")


def failing_at(
    monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException, *, after: bool = False
) -> Callable[[], int]:
    """Let MLflow's client fail instead of writing for the so many-th time, or after it; return how often it wrote."""
    real = {name: getattr(mlflow.MlflowClient, name) for name in _WRITING}
    return fail_at(monkeypatch, mlflow.MlflowClient, real, call, error, after=after)


def test_a_publisher_that_was_killed_at_any_moment_leaves_nothing_twice_and_nothing_out(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads() -> Iterator[Read]:
        return (Read(read.store, f"{read.name}-{index}") for index in range(9))

    run = StagedRun(tmp_path)
    run.tell(trial(0, TrialState.RUNNING), reports=[report(0, 1, accuracy=0.1)])
    for each in [read, *reads()]:
        publish(run, each)
    run.tell(trial(0, attempt=2), reports=[report(0, 1, 2, accuracy=math.nan), report(0, 2, 2, accuracy=0.2)])
    run.end()
    publish(run, read)
    for call, each in enumerate(reads(), 1):
        with monkeypatch.context() as patch:
            written = failing_at(patch, call, Killed())
            with contextlib.suppress(Killed):
                publish(run, each)
            done = written() < call
        publish(run, each)
        assert repr(each.essence()) == repr(read.essence())  # repr: nan is not equal to itself
        if done:
            return
    pytest.fail("it writes more often than this test can end it")


def test_an_answer_that_is_lost_makes_nothing_twice(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in range(1, 7):
        run, each = StagedRun(tmp_path, f"run-{call}"), Read(read.store, f"{read.name}-{call}")
        run.tell(trial(0, TrialState.RUNNING))
        with publisher_of(run, mlflow=each.store, experiment=each.name) as publisher, monkeypatch.context() as patch:
            written = failing_at(patch, call, ConnectionError("lost"), after=True)
            with contextlib.suppress(ProviderError):
                publisher.publish()
            run.tell(trial(0, attempt=2), reports=[report(0, 1, 2, accuracy=0.1)])
            run.end()
            with contextlib.suppress(ProviderError):
                publisher.publish()
            publisher.publish()
        assert written() > call
        assert len(each.trials) == 1
        assert len(each.curve(each.trials[0], "accuracy")) == 2
        assert (each.parent.info.status, each.trials[0].info.status) == ("FINISHED", "FINISHED")


def test_the_best_value_that_counts_has_a_curve_of_its_own(tmp_path: Path, read: Read) -> None:
    run = StagedRun(tmp_path, objective={"metric": "accuracy", "goal": "maximize", "measurement": "best"})
    told = [report(0, step, accuracy=value) for step, value in enumerate([0.2, 0.7, math.nan, 0.4], 1)]
    run.tell(trial(0, metrics={"accuracy": 0.7}), reports=told)
    publish(run, read)
    values = {name: [value for _, _, value in read.curve(read.trials[0], name)] for name in read.trials[0].data.metrics}
    assert values["accuracy.best"] == [0.2, 0.7, 0.7, 0.7]
    assert repr(values["accuracy"]) == repr([0.2, 0.7, math.nan, 0.4])
    assert read.parent.data.metrics == {"accuracy": 0.7}


def test_what_is_too_much_for_one_call_goes_in_several(tmp_path: Path, read: Read) -> None:
    space = {f"p{index}": {"type": "int", "low": 0, "high": 9} for index in range(120)}
    run = StagedRun(tmp_path, space={**space, "long": {"type": "categorical", "values": ["x" * 7000, "short"]}})
    values = {f"p{index}": index % 10 for index in range(120)}
    told = [report(0, step, accuracy=float(step), loss=-float(step)) for step in range(1, 701)]
    infinite = report(0, 701, accuracy=0.5, loss=math.inf)
    counting = {"accuracy": 0.5, "loss": math.inf}
    run.tell(trial(0, parameters={**values, "long": "x" * 7000}, metrics=counting), reports=[*told, infinite])
    published = publish(run, read)
    (found,) = read.trials.values()
    assert {name: found.data.params[name] for name in values} == {name: str(value) for name, value in values.items()}
    assert found.data.params["long"] == "x" * (LONGEST_PARAM - 1) + "…"
    assert any("'long' is cut" in note for note in published.notes)
    assert [step for step, _, _ in read.curve(found, "accuracy")] == list(range(1, 702))
    assert max(read.curve(found, "loss"))[2] == sys.float_info.max  # as MLflow's databases have what is infinite


def test_names_that_mlflow_refuses_become_others_each_its_own(tmp_path: Path, read: Read) -> None:
    names = ["acc@1", "acc#1", "top/../5", "/abs", "ü.-_ x", "a//b", "..", "é" * 300]
    run = StagedRun(tmp_path, objective={"metric": "acc@1", "goal": "maximize"})
    metrics = {name: float(index) for index, name in enumerate(names)}
    run.tell(trial(0, metrics=metrics))
    published = publish(run, read)
    (found,) = read.trials.values()
    assert sorted(found.data.metrics.values()) == sorted(metrics.values())
    assert found.data.metrics["acc_1"] == 0.0
    assert found.data.metrics["acc_1-2"] == 1.0
    assert found.data.metrics["ü.-_ x"] == 4.0
    assert len([note for note in published.notes if "is called" in note]) == len(names) - 1


def test_names_are_found_for_whatever_there_is() -> None:
    from mlflow.utils.validation import _validate_metric_name

    names = Names(lambda _: None)
    texts = [
        "",
        ".",
        "..",
        "/",
        "//",
        "./x",
        "a/./b",
        "a/",
        "\n",
        "\0",
        "😀",
        "x" * 999,
        "x" * 998,
        "a/../../b",
        "-",
        " ",
    ]
    found = [names(text) for text in texts]
    for name in found:
        _validate_metric_name(name)  # raises if MLflow refuses it
        assert 0 < len(name) <= 250
    assert len(set(found)) == len(texts)
    assert [names(text) for text in texts] == found


def test_artifacts_that_cannot_be_stored_are_noted_and_cost_nothing_else(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def log_text(*_: Any) -> None:
        tries.append(1)
        raise PermissionError("no such bucket; the key is hidden")

    monkeypatch.setattr(mlflow.MlflowClient, "log_text", log_text)
    run = StagedRun(tmp_path, strategy={"type": "random"})
    with publisher_of(run, mlflow=read.store, experiment=read.name) as one:
        run.tell(trial(0))
        one.publish()
        run.end()
        one.publish()
        (published,) = one.published
    assert published.notes == ("job.yaml was not uploaded as an artifact: PermissionError",)
    assert len(tries) == 1
    assert read.parent.info.status == "FINISHED"
    assert read.parent.data.params["strategy.type"] == "random"


def test_several_objectives_have_their_front_instead_of_a_best_trial(tmp_path: Path, read: Read) -> None:
    run = StagedRun(
        tmp_path, objective=[{"metric": "accuracy", "goal": "maximize"}, {"metric": "loss", "goal": "minimize"}]
    )
    run.tell(*(trial(number, metrics={"accuracy": number, "loss": abs(number - 1)}) for number in (0, 1, 2)))
    run.end()
    publish(run, read)
    assert read.parent.data.tags["cloudtune.front"] == "1, 2"
    assert json.loads(read.parent.data.params["objective"]) == [
        {"metric": "accuracy", "goal": "maximize"}, {"metric": "loss", "goal": "minimize"},
    ]  # fmt: skip
    assert read.parent.data.metrics == {}


def test_the_best_trial_is_a_feasible_one_and_tags_say_which_are(tmp_path: Path, read: Read) -> None:
    run = StagedRun(tmp_path, constraints={"metric": "loss", "max": 1})
    run.tell(*(trial(number, metrics={"accuracy": number, "loss": number}) for number in (0, 1, 2)))
    run.end()
    publish(run, read)
    assert read.parent.data.tags["cloudtune.best"] == "1"
    assert [read.trials[number].data.tags["cloudtune.feasible"] for number in (0, 1, 2)] == ["yes", "yes", "no"]
    assert read.trials[2].data.tags["cloudtune.reason"] == "not feasible: loss = 2, not <= 1"


def test_where_nothing_is_feasible_a_tag_names_the_nearest(tmp_path: Path, read: Read) -> None:
    run = StagedRun(tmp_path, constraints={"metric": "loss", "max": 1})
    run.tell(trial(0, metrics={"accuracy": 1.0, "loss": 9.0}), trial(1, metrics={"accuracy": 0.1, "loss": 2.0}))
    run.end()
    publish(run, read)
    assert "cloudtune.best" not in read.parent.data.tags
    assert read.parent.data.tags["cloudtune.nearest"] == "1"


def test_no_secret_reaches_mlflow_or_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    run = finished_run(tmp_path)
    with pytest.raises(ProviderError, match=r"mlflow at http://me:\*\*\*@127.0.0.1:9") as raised:
        run.publish(mlflow="http://me:hid%40den@127.0.0.1:9")
    assert "hid" not in str(raised.value).replace("hidden", "")
    assert raised.value.retryable
    assert raised.value.__cause__ is None


def test_mlflow_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[mlflow\]"):
        finished_run(tmp_path).publish(mlflow="sqlite:///mlflow.db")


def test_what_databases_need_beyond_the_skinny_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    with pytest.raises(ConfigError, match=r"sqlite:///mlflow.db needs alembic; .*pip install mlflow"):
        finished_run(tmp_path).publish(mlflow="sqlite:///mlflow.db")


def test_what_trials_cost_is_a_metric_of_theirs_with_the_currency(tmp_path: Path, read: Read) -> None:
    run = charged_run(tmp_path)
    publish(run, read)
    trials = read.trials
    assert [trials[number].data.metrics.get("cost") for number in range(3)] == [0.5, 0.0, None]
    assert [trials[number].data.tags.get("cloudtune.currency") for number in range(3)] == ["EUR", "EUR", None]
    assert read.parent.data.tags["cloudtune.cost"] == "0.5"
    before = read.essence()
    publish(run, read)
    assert read.essence() == before
