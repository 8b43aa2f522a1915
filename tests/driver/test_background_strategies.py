"""A strategy that takes its time, or asks a service that fails, never holds up the driver of its run."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plain_jobs import plain_data
from scripted_launcher import Script, curve, good

from cloudtune.driver import asking
from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.launcher import Ended
from cloudtune.driver.loop import Driver
from cloudtune.driver.replay import replay
from cloudtune.errors import ProviderError
from cloudtune.search import Observation, StoppingRule, background
from cloudtune.search.bayesian import BayesianSearch
from cloudtune.space.space import Values
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

STRATEGY = {"type": "bayesian", "startup": 2}


class Service:
    """What a strategy of the tests asks for each suggestion.

    Attributes:
        before: called before the suggestion with this number.
        observed: what the strategy was told.
    """

    def __init__(self) -> None:
        self.before: Callable[[int], None] = lambda _: None
        self.observed: list[Observation] = []
        self.rule: StoppingRule | None = None
        self.reached, self.released = threading.Event(), threading.Event()

    def hold(self, number: int, which: int = 2) -> None:
        """Answer nothing about a trial until `released`."""
        if number == which:
            self.reached.set()
            assert self.released.wait(60), "the driver waits for the strategy"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Have the Bayesian search ask it, in the background."""
    service, propose, observe = Service(), BayesianSearch._propose, BayesianSearch.observe

    def asked(self: BayesianSearch, number: int) -> Values | None:
        service.before(number)
        return propose(self, number)

    def told(self: BayesianSearch, observation: Observation) -> None:
        service.observed.append(observation)
        observe(self, observation)

    monkeypatch.setattr(background, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(BayesianSearch, "in_background", True)
    monkeypatch.setattr(BayesianSearch, "_propose", asked)
    monkeypatch.setattr(BayesianSearch, "observe", told)
    monkeypatch.setattr(BayesianSearch, "rule", property(lambda _: service.rule))
    yield service
    service.released.set()


class Following(Script):
    """Calls back before each poll, with the numbers of the trials that have ended by then.

    Args:
        plot: see `Script`.
        begins: is set before anything happens to the trials.
    """

    heed: Callable[[list[int]], None] = staticmethod(lambda _: None)

    def __init__(self, plot: Callable[[Trial], list[Report | Ended]], begins: threading.Event | None = None) -> None:
        super().__init__(plot)
        self.begins = begins

    def poll(self, timeout: float) -> Any:
        if self.begins is not None and not self.begins.wait(timeout):
            return []
        self.heed([number for number, _ in self.launched if number not in self.live])
        return super().poll(timeout)


def made(folder: Path, **fields: Any) -> tuple[TuningJob, RunStore]:
    data = {**plain_data(strategy=STRATEGY, limits={"trials": 4, "parallel": 3, "failed": 99}), **fields}
    job = TuningJob.from_data(data)
    record = RunRecord("r-1", "r", "local", "local", json.dumps(job.to_data()), "{}", native={"seed": "3"})
    return job, Store(folder).create(record)


def events(run: RunStore) -> str:
    return "\n".join(message for _, _, message in run.events())


def test_trials_end_while_a_suggestion_is_awaited_and_a_replay_derives_it(service: Service, tmp_path: Path) -> None:
    job, run = made(tmp_path)
    service.before = service.hold
    script = Following(good, service.reached)
    script.heed = lambda ended: service.released.set() if {0, 1} <= set(ended) else None
    assert Driver(job, run, script, seed=3).run() is RunState.COMPLETED
    first, second, third, _ = sorted(run.trials(), key=lambda trial: trial.number)
    told = [each.told or 0 for each in (first, second)]
    assert 0 < (third.asked or 0) <= min(told), "it was asked for before these had ended"
    assert all(each.same and each.derivable for each in replay(run, "driven").trials)


def test_a_request_to_cancel_and_a_signal_win_over_a_strategy_that_hangs(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_LAST_WORDS", 0.0)
    service.before = service.hold
    (tmp_path / "a").mkdir()
    job, run = made(tmp_path / "a")
    script = Following(good, service.reached)
    script.heed = lambda ended: run.write(columns={"wish": "cancel"}) if {0, 1} <= set(ended) else None
    assert Driver(job, run, script, seed=3).run() is RunState.CANCELLED
    assert "the strategy was not told of the last trials" in events(run)
    (tmp_path / "b").mkdir()
    job, run = made(tmp_path / "b")
    monkeypatch.setattr(asking, "_LAST_WORDS", 600.0)
    interrupt, script = Interrupt(), Following(good, service.reached)
    script.heed = lambda ended: interrupt.request(1, "by Ctrl-C") if {0, 1} <= set(ended) else None
    assert Driver(job, run, script, seed=3, interrupt=interrupt).run() is RunState.INTERRUPTED
    assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}


def test_a_trial_that_was_asked_for_and_will_not_run_is_taken_back(service: Service, tmp_path: Path) -> None:
    job, run = made(tmp_path, limits={"trials": 4, "parallel": 3, "target": 1.0})  # which the first trial reaches
    service.before = service.hold
    script = Following(good, service.reached)
    script.heed = lambda ended: service.released.set() if {0, 1} <= set(ended) else None
    assert Driver(job, run, script, seed=3).run() is RunState.COMPLETED
    assert [(each.number, each.state) for each in service.observed if each.state is TrialState.CANCELLED][-1:] == [
        (2, TrialState.CANCELLED)
    ]
    assert 2 not in {trial.number for trial in run.trials()}


def test_what_passes_is_tried_again_and_told_once_and_what_does_not_interrupts_the_run(
    service: Service, tmp_path: Path
) -> None:
    failures = iter([True, True, True, False, True])

    def failing(number: int) -> None:
        if number == 2 and next(failures, False):
            raise ProviderError("the service is throttled", code="429", retryable=True)

    service.before = failing
    (tmp_path / "a").mkdir()
    job, run = made(tmp_path / "a")
    assert Driver(job, run, Script(good), seed=3).run() is RunState.COMPLETED
    assert events(run).count("the service is throttled; trials that run go on, and it is tried again") == 1

    def refusing(number: int) -> None:
        if number == 2:
            raise ProviderError("it is forbidden", code="403")

    service.before = refusing
    (tmp_path / "b").mkdir()
    job, run = made(tmp_path / "b")
    with pytest.raises(ProviderError, match="it is forbidden"):
        Driver(job, run, Script(good), seed=3).run()
    assert run.record().state is RunState.INTERRUPTED
    service.before = lambda _: None
    assert Driver(job, run, Script(good), seed=3).run() is RunState.COMPLETED
    assert len(run.trials(TrialState.COMPLETED)) == 4


def test_an_answer_that_takes_long_is_told(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LONG", 0.0)
    job, run = made(tmp_path)
    service.before = service.hold
    script = Following(good, service.reached)
    script.heed = lambda _: service.released.set() if "has worked on one answer" in events(run) else None
    assert Driver(job, run, script, seed=3).run() is RunState.COMPLETED
    assert "the bayesian strategy has worked on one answer for 0 s by now; trials that run go on meanwhile" in events(
        run
    )


class Judge(StoppingRule):
    """Ends trial 0 by its last report, when it has been asked to."""

    def __init__(self) -> None:
        self.judged: list[tuple[int, int]] = []
        self.released = threading.Event()

    def observe(self, number: int, step: int, loss: float) -> bool:
        self.judged.append((number, step))
        assert self.released.wait(60), "the driver waits for the rule"
        return (number, step) == (0, 3)

    def ended(self, number: int, state: TrialState) -> None:
        self.released.set()


def test_the_verdict_of_a_slow_rule_comes_later_and_by_the_newest_report(service: Service, tmp_path: Path) -> None:
    job, run = made(tmp_path, limits={"trials": 2, "parallel": 1})
    service.rule = rule = Judge()
    script = Following(lambda trial: curve(trial, [3.0, 2.0, 1.0])[:3] if trial.number == 0 else good(trial))

    def heed(_: list[int]) -> None:
        if len(list(run.reports(0))) == 3:
            rule.released.set()

    script.heed = heed
    assert Driver(job, run, script, seed=3).run() is RunState.COMPLETED
    first, _ = sorted(run.trials(), key=lambda trial: trial.number)
    assert (first.state, first.reason) == (TrialState.PRUNED, "pruned at step 3 by the bayesian rule")
    judged = [step for number, step in rule.judged if number == 0]
    assert judged[-1] == 3
    assert len(judged) < 3, "what was reported while it judged is judged by the newest report"


def test_a_trial_that_is_enqueued_meanwhile_comes_after_the_one_that_was_asked_for(
    service: Service, tmp_path: Path
) -> None:
    from cloudtune.store.enqueued import enqueue

    job, run = made(tmp_path)
    service.before = service.hold
    script, added = Following(good, service.reached), threading.Event()

    def heed(ended: list[int]) -> None:
        if {0, 1} <= set(ended) and not added.is_set():
            added.set()
            enqueue(run, [{"x": 0.5}])
        elif added.is_set():
            service.released.set()

    script.heed = heed
    assert Driver(job, run, script, seed=3).run() is RunState.COMPLETED
    trials = {trial.number: (trial.origin, trial.parameters["x"]) for trial in run.trials()}
    assert trials[3] == ("tried", 0.5)
    assert trials[2][0] == ""
