"""The strategy vizier: the study in the emulator has the trials of a search, which goes on in it after a kill."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from late import LATE
from scripted_launcher import Script, good
from vizier_studies import RANDOM, X, begun, final, google_of, job_of, parameters, study_of, trials_of

from cloudtune.driver.loop import Driver
from cloudtune.driver.replay import replay
from cloudtune.errors import ConfigError, ProviderError, SpecError
from cloudtune.search import KnownTrial, Search, UnsuitableStrategy
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

if TYPE_CHECKING:
    pass

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from cloudtune_vertex.emulator import VertexEmulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[VertexEmulator]:
    with VertexEmulator(seed=3, transport="rest") as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def led(emulator: VertexEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead cloudtune to the emulator, from a project of the test's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloudtune.toml").touch()
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)


def test_the_study_has_the_trials_and_how_they_ended(emulator: VertexEmulator) -> None:
    job, said = job_of(objective={"metric": "acc", "goal": "maximize"}), list[str]()
    search = begun(job, "ended-1", said)
    one, two, three, four = (search.ask() for _ in range(4))
    assert one is not None
    assert two is not None
    assert three is not None
    assert four is not None
    search.tell(one, {"acc": 0.75})
    search.tell(two, state="failed")
    search.tell(three, {"acc": 0.5}, state="pruned")
    search.tell(four, state="cancelled")
    study = study_of(job, "ended-1")
    address = emulator.environment["CLOUDTUNE_VERTEX_ENDPOINT"]
    assert said == [f"Vizier suggests the trials by the study {study.name} (in the emulator at {address})"]
    ended = {each.client_id: each for each in trials_of(job, "ended-1")}
    assert {name: each.state.name for name, each in ended.items()} == {
        "ended-1.0": "SUCCEEDED", "ended-1.1": "INFEASIBLE", "ended-1.2": "SUCCEEDED",
    }  # fmt: skip
    assert parameters(ended["ended-1.0"]) == one.parameters
    assert [final(ended[f"ended-1.{number}"]) for number in (0, 2)] == [{"acc": 0.75}, {"acc": 0.5}]
    assert ended["ended-1.1"].infeasible_reason == "the trial failed"


def test_a_search_that_begins_anew_goes_on_with_the_same_study() -> None:
    job = job_of()
    first = begun(job, "again-1")
    asked = [first.ask() for _ in range(3)]
    pending = [each for each in asked if each is not None]
    first.tell(pending[0], {"loss": 1.0})
    second = begun(job, "again-1")
    for each in pending[:2]:  # the third was suggested, but its driver was killed before it was written down
        second.restore(each.number, each.parameters)
    second.tell(0, {"loss": 1.0})
    again = second.ask()
    assert again == pending[2]
    second.tell(1, {"loss": 2.0})
    assert [(each.client_id, each.state.name) for each in trials_of(job, "again-1")] == [
        ("again-1.0", "SUCCEEDED"), ("again-1.1", "SUCCEEDED"), ("again-1.2", "ACTIVE"),
    ]  # fmt: skip


def test_trials_that_may_begin_together_are_suggested_together_and_after_a_kill_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from google.cloud.aiplatform_v1 import VizierServiceClient

    real, counts = VizierServiceClient.suggest_trials, list[int]()

    def suggest(self: Any, request: Any, **kwargs: Any) -> Any:
        counts.append(request["suggestion_count"])
        return real(self, request, **kwargs)

    monkeypatch.setattr(VizierServiceClient, "suggest_trials", suggest)
    job = job_of(limits={"trials": 6, "parallel": 4})
    first = begun(job, "batch-1")
    asked = [first.ask(room=4 - number) for number in range(4)]
    pending = [each for each in asked if each is not None]
    assert (len(pending), counts) == (4, [4])
    first.tell(pending[0], state="cancelled")  # which takes the one away that gave the others their name
    second = begun(job, "batch-1")
    for each in pending[:2]:  # the others were suggested, but their driver was killed before they were written down
        second.restore(each.number, each.parameters)
    second.tell(0, state="cancelled")
    assert [second.ask(room=2), second.ask(room=1)] == pending[2:]
    second.tell(pending[1], {"loss": 1.0})
    assert counts == [4]
    more = [second.ask(room=3), second.ask(room=2)]
    assert counts == [4, 2], "no more than the run still wants"
    assert second.ask(room=1) is None
    assert len({str(each.parameters) for each in (*pending[1:], *more) if each is not None}) == 5
    assert [each.state.name for each in trials_of(job, "batch-1")] == ["SUCCEEDED", *["ACTIVE"] * 4]


def test_a_study_that_is_gone_is_made_again_with_all_trials() -> None:
    job = job_of()
    first = begun(job, "gone-1")
    asked = [first.ask() for _ in range(3)]
    google_of(job).vizier.delete_study(name=study_of(job, "gone-1").name)
    second = begun(job, "gone-1")
    for each in asked:
        assert each is not None
        second.restore(each.number, each.parameters)
    second.tell(0, {"loss": 1.0})
    second.tell(1, state="cancelled")
    assert second.ask() is not None
    found = trials_of(job, "gone-1")
    assert {(each.client_id, each.state.name) for each in found} == {
        ("gone-1.0", "SUCCEEDED"), ("gone-1.2", "ACTIVE"), ("gone-1.3", "ACTIVE"),
    }  # fmt: skip


def test_first_trials_and_those_of_earlier_runs_are_added_to_the_study() -> None:
    job = job_of(first=[{"x": 0.125}])
    for _ in range(2):  # the second is a driver that begins anew, and adds nothing
        search = begun(job, "first-1")
        known = [KnownTrial({"x": 0.5}, {"loss": 3.0}), KnownTrial({"x": 7}, {"loss": 0.0}), KnownTrial({"x": 0.1}, {}, TrialState.FAILED)]  # fmt: skip
        search.learn(known)
    assert search.ask() is not None
    assert search.ask() is not None
    found = {each.client_id: each for each in trials_of(job, "first-1")}
    assert list(found) == ["first-1.known1", "first-1.0", "first-1.1"]
    assert (found["first-1.known1"].state.name, final(found["first-1.known1"])) == ("SUCCEEDED", {"loss": 3.0})
    assert parameters(found["first-1.0"]) == {"x": 0.125}


def test_constraints_are_safety_metrics_and_requirements_are_met() -> None:
    space = {"x": X, "y": X}
    job = job_of(space=space, require=["x + y <= 0.5"], constraints={"metric": "size", "max": 10})
    search = begun(job, "safe-1")
    suggested = [search.ask() for _ in range(5)]
    assert all(each is not None and sum(each.parameters.values()) <= 0.5 for each in suggested)
    search.tell(0, {"loss": 1.0, "size": 15})
    search.tell(1, {"loss": 1.0, "size": math.nan})
    (objective, safety) = study_of(job, "safe-1").study_spec.metrics
    assert (objective.metric_id, safety.metric_id, safety.safety_config.safety_threshold) == (
        "loss",
        "size-above-bound",
        0,
    )
    trials = trials_of(job, "safe-1")
    active = {each.client_id.split(".")[1]: each for each in trials if each.state.name == "ACTIVE"}
    assert {number: parameters(each) for number, each in active.items()} == {
        str(each.number): each.parameters for each in suggested[2:] if each is not None
    }
    assert [final(each) for each in trials if each.state.name == "SUCCEEDED"] == [
        {"loss": 1.0, "size-above-bound": 0.5}
    ]
    reasons = {each.infeasible_reason for each in trials if each.state.name == "INFEASIBLE"}
    assert reasons == {"it does not meet the requirements of the space", "the trial told no value for a constraint"}


def test_viziers_own_rule_stops_trials_and_hears_each_report_once() -> None:
    job = job_of(strategy={**RANDOM, "early_stopping": "median"}, limits={"trials": 6})
    search, suggested = begun(job, "early-1"), list[Any]()
    for _ in range(5):
        trial = search.ask()
        assert trial is not None
        suggested.append(trial)
        assert not any(search.report(trial, step, 1.0) for step in (1, 2, 3))
        search.tell(trial)
    bad = search.ask()
    assert bad is not None
    assert [search.report(bad, step, 100.0) for step in (1, 2, 3)][-1]
    again = begun(job, "early-1")
    for number, each in enumerate([*suggested, bad]):
        again.restore(number, each.parameters)
        for step in (1, 2, 3):
            again.report(number, step, 1.0)
    again.tell(5, state="pruned")
    trials = trials_of(job, "early-1")
    assert [[each.step_count for each in trial.measurements] for trial in trials] == [[1, 2, 3]] * 6


def test_several_searches_may_share_a_named_study_but_not_another_problems() -> None:
    named = {**RANDOM, "study": "shared"}
    objective = {"metric": "loss", "goal": "minimize"}
    search = Search({"x": X}, objective, named)
    trial = search.ask()
    assert trial is not None
    search.tell(trial, {"loss": 0.5})
    other = begun(job_of(strategy=named), "other-1")
    assert other.ask() is not None
    with pytest.raises(
        ConfigError, match=r"'shared' is another problem's: its parameters are x, not x, y; .*strategy\.study"
    ):
        Search({"x": X, "y": X}, objective, named).ask()
    with pytest.raises(ConfigError, match=r"its metric 'loss' is {'goal': 'MINIMIZE'}"):
        Search({"x": X}, {"metric": "loss", "goal": "maximize"}, named).ask()
    with pytest.raises(ConfigError, match=r"its parameter 'x' is {'doubleValueSpec'"):
        Search({"x": {**X, "high": 2}}, objective, named).ask()
    with pytest.raises(UnsuitableStrategy, match="which study of Vizier"):
        Search({"x": X}, objective, RANDOM)


def test_a_search_that_only_looks_asks_nothing(emulator: VertexEmulator) -> None:
    before = emulator.calls.total()
    search = Search.for_job(job_of())
    search.restore(0, {"x": 0.5})
    search.tell(0, {"loss": 1.0})
    with pytest.raises(ConfigError, match="nothing is asked for a search that only looks"):
        search.ask()
    assert emulator.calls.total() == before


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"local": True, "project": "p"}, "project is of Vertex AI's service"),
        ({"seed": 1}, "the service takes no seed"),
        ({"algorithm": "gp"}, "algorithm 'gp' is none of the service (local: true has more): default, random"),
        ({"algorithm": "tpe"}, "strategy.algorithm"),
        ({"studdy": "a"}, "did you mean 'study'?"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_words(strategy: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        job_of(strategy={"type": "vizier", **strategy})
    assert message in str(refused.value)


def test_the_plan_says_where_the_study_is_and_what_is_approximate() -> None:
    from cloudtune import api

    space = {
        "a": {"type": "categorical", "values": ["u", "v"]},
        "b": {"type": "categorical", "values": [1, 2]},
        "x": {**X, "when": {"a": ["u"], "b": [1]}},
        "n": {"type": "normal", "mean": 0, "std": 1},
        "y": {**X, "when": {"a": ["u"]}},
    }
    job = job_of(
        space=space,
        constraints={"metric": "size", "max": 10},
        strategy={"type": "vizier", "project": "mine", "study": "shared"},
        warm_start={"runs": ["r"], "kind": "transfer"},
    )
    notes = {(note.path, note.support.value): note.message for note in api.plan(job, "local").notes}
    assert "by the study 'shared' in the project mine" in notes["strategy", "encoded"]
    assert "counts in no budget" in notes["strategy", "encoded"]
    assert "safety metric" in notes["strategy", "approximate"]
    assert "always samples it" in notes["space.x", "approximate"]
    assert ("space.n", "encoded") in notes
    assert not any(path.startswith("space.y") for path, _ in notes)
    assert "not used" in notes["warm_start", "approximate"]
    two = [{"metric": "a", "goal": "minimize"}, {"metric": "b", "goal": "minimize"}]
    early = job_of(objective=two, strategy={"type": "vizier", "early_stopping": "curve"})
    assert api.plan(early, "local").support("strategy.early_stopping").value == "unsupported"  # type: ignore[union-attr]


def test_a_profile_of_another_provider_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text('[profiles.gpu]\nprovider = "local"\n')
    search = begun(job_of(strategy={"type": "vizier", "profile": "gpu"}), "p-1")
    with pytest.raises(ConfigError, match=r"strategy.profile: 'gpu' is a profile of local"):
        search.ask()


def test_refusals_are_in_our_words_and_what_passes_is_tried_again(emulator: VertexEmulator) -> None:
    job = job_of()
    try:
        emulator.enforce({"caller": {"includedPermissions": ["aiplatform.studies.create"]}})
        with pytest.raises(
            ProviderError, match=r"Google refused while reading the trials of .*aiplatform\.trials\.list"
        ):
            begun(job, "denied-1").ask()
    finally:
        emulator.enforce(None)
    emulator.faults.throttle, emulator.faults.lost = 0.1, 0.3
    try:
        search = begun(job, "faults-1")
        for number in range(6):
            trial = search.ask()
            assert trial is not None
            search.tell(trial, {"loss": float(number)})
    finally:
        emulator.faults.throttle = emulator.faults.lost = 0.0
    assert emulator.faults.counts["lost"]
    assert [(each.client_id, each.state.name) for each in trials_of(job, "faults-1")] == [
        (f"faults-1.{number}", "SUCCEEDED") for number in range(6)
    ]


def test_an_emulated_run_never_asks_the_service_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of()
    assert begun(job, "kept-1", folder=tmp_path).ask() is not None
    name = study_of(job, "kept-1").name
    again: list[str] = []
    assert begun(job_of(strategy={**RANDOM, "project": "elsewhere"}), "kept-1", again, tmp_path).ask() is not None
    assert name in again[0], "the study is known by its full name, whatever the profile says by now"
    google_of(job).vizier.delete_study(name=name)
    assert begun(job, "kept-1", folder=tmp_path).ask() is not None
    assert study_of(job, "kept-1").name != name
    monkeypatch.setenv("CLOUDTUNE_VERTEX_ENDPOINT", "https://us-central1-aiplatform.invalid")
    with pytest.raises(ConfigError, match=r"is in the emulator at http://127.0.0.1:\d+, .*`cloudtune emulate vertex`"):
        begun(job, "kept-1", folder=tmp_path).ask()


def test_the_emulator_of_the_strategys_service_starts_with_emulate(tmp_path: Path) -> None:
    from cloudtune import api

    services = job_of().strategy.services
    assert api.emulators_for("local", None, tmp_path, None, services) == ["vertex"]
    assert api.emulators_for("aws", None, tmp_path, None, services) == ["sagemaker", "vertex"]
    assert job_of(strategy={"type": "random"}).strategy.services == ()


def test_a_driver_elsewhere_brings_the_strategy_along_with_what_it_requires(tmp_path: Path) -> None:
    from cloudtune.remote.bundle import _requirements, search_plugins

    (point,) = search_plugins(job_of())
    assert point.module.startswith("cloudtune_vertex.")
    assert any(line.startswith("google-cloud-aiplatform") for line in _requirements([point]))
    assert not any(line.startswith("google-vizier") for line in _requirements([point]))


# Whole runs


def made(folder: Path, job: TuningJob, name: str) -> RunStore:
    import json

    record = RunRecord(name, "r", "local", "local", json.dumps(job.to_data()), "{}", native={"seed": "3"})
    return Store(folder).create(record)


def driven(folder: Path, job: TuningJob, name: str) -> RunState:
    return Driver(job, Store(folder).run(name), Script(good), seed=3).run()


class Outage(Script):
    """Lets something go wrong between a trial's launch and its end, which its driver must see for it to go right again."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        super().__init__(good)
        self.begin, self.end = begin, end

    def launch(self, trial: Trial) -> None:
        super().launch(trial)
        if trial.number == 1:
            self.begin()

    def poll(self, timeout: float) -> Any:
        if (1, 1) in self.launched and not self.live:
            self.end()
        return super().poll(timeout)


@pytest.mark.parametrize("kind", ["hang", *(pytest.param(each, marks=pytest.mark.complete) for each in ("throttle", "errors", "lost"))])  # fmt: skip
def test_trials_go_on_while_vizier_hangs_or_fails(
    kind: str, emulator: VertexEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    real, answered, ended = requests.Session.request, threading.Event(), threading.Event()
    answered.set()

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        assert answered.wait(60), "the driver waits for Vizier"
        return real(self, *args, **kwargs)

    def set_fault(probability: float) -> None:
        setattr(emulator.faults, kind, probability)

    monkeypatch.setattr(requests.Session, "request", request)
    begin, end = (answered.clear, answered.set) if kind == "hang" else (lambda: set_fault(1.0), lambda: set_fault(0.0))
    job, name = job_of(limits={"trials": 6, "parallel": 3}), f"outage-{kind}"
    made(tmp_path, job, name)
    try:
        launcher = Outage(begin, lambda: (end(), ended.set()))  # type: ignore[arg-type,return-value]
        assert Driver(job, Store(tmp_path).run(name), launcher, seed=3).run() is RunState.COMPLETED
    finally:
        end()
    assert ended.is_set()
    assert [each.state.name for each in trials_of(job, name)] == ["SUCCEEDED"] * 6


@pytest.mark.complete
def test_ctrl_c_ends_a_run_at_once_whose_vizier_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json
    import signal
    import socket
    import subprocess
    import sys

    (tmp_path / "job.json").write_text(json.dumps(job_of().to_data()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("CLOUDTUNE_VERTEX_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
        with subprocess.Popen(
            [sys.executable, "-m", "cloudtune", "run", "job.json"], text=True, stderr=subprocess.PIPE
        ) as program:
            asked, _ = silent.accept()  # and nothing is answered
            assert asked.recv(1)
            since = time.monotonic()
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=100)
    (record,) = Store(tmp_path).records()
    assert record.state is RunState.INTERRUPTED, said
    assert time.monotonic() - since < 30, "half of what one call may take"


def killed_at(call: int, *, heard: bool, body: Callable[[], Any]) -> bool:
    """Run something in a process that is gone at one of its calls of the service, before or after it is answered; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        import requests

        real, counted = requests.Session.request, iter(range(call + 1))

        def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            last = next(counted, call) == call - 1
            if last and not heard:
                os._exit(9)
            answer = real(self, *args, **kwargs)
            if last:
                os._exit(9)
            return answer

        requests.Session.request = counting  # type: ignore[method-assign]
        try:
            body()
            os._exit(0)
        finally:
            os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 0


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.complete), pytest.param(2, marks=pytest.mark.complete), pytest.param(3, marks=pytest.mark.complete)])  # fmt: skip
def test_kills_lose_no_trial_and_make_none_twice(seed: int, tmp_path: Path) -> None:
    limits = {"trials": 10, "parallel": 3}
    job, name, draws, kills = job_of(first=[{"x": 0.25}], limits=limits), f"kills-{seed}", random.Random(seed), 0
    made(tmp_path, job, name)
    while not killed_at(draws.randint(1, 9), heard=draws.random() < 0.5, body=lambda: driven(tmp_path, job, name)):
        kills += 1
    run = Store(tmp_path).run(name)
    assert kills >= 4
    assert run.record().state is RunState.COMPLETED
    trials, stored = trials_of(job, name), {trial.number: trial for trial in run.trials()}
    assert [each.state.name for each in trials] == ["SUCCEEDED"] * 10
    known = [(parameters(each), final(each)) for each in trials]
    assert all((trial.parameters, trial.metrics) in known for trial in stored.values())
    with pytest.raises(ConfigError, match="the vizier strategy asks a service"):
        replay(run, "driven")
