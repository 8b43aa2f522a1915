"""One run over several profiles: where trials go, and what becomes of them when a profile has no room or is out of reach."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from plain_jobs import plain_data

from cloudtune.config import load_profile, tables
from cloudtune.costs.spending import Spending
from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.driver.loop import Driver
from cloudtune.errors import ConfigError, ProviderError
from cloudtune.planning.plan import Machines, Plan, Support
from cloudtune.planning.rates import Rate
from cloudtune.provider.interface import load_provider
from cloudtune.provider.preparing import planned
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store
from cloudtune.testing.conformance import wait_until
from cloudtune_mixed.launcher import MixedLauncher
from cloudtune_mixed.part import place_in, profile_of
from cloudtune_mixed.settings import MixedSettings
from cloudtune_mixed.strays import Strays


class Place:
    """A service with so much room, which may be down; what runs there stays although the launcher is forgotten."""

    def __init__(self, room: int = 100, *, holds: bool = False, seconds: float = 0.0) -> None:
        self.room = room
        self.holds = threading.Event()  # trials end once it is set
        self.down = False
        self.refuses = False
        self.running: dict[tuple[int, int], Trial] = {}
        self.launched: list[tuple[int, int]] = []
        self.stopped: list[tuple[int, int]] = []
        self.most = 0
        self.seconds = seconds
        if not holds:
            self.holds.set()

    def reach(self) -> None:
        if self.down:
            raise ProviderError("no route to the service", retryable=True)
        if self.refuses:
            raise ProviderError("you may not do this", code="AccessDenied")


class PlaceLauncher(Launcher):
    """Runs trials at a place."""

    def __init__(self, place: Place) -> None:
        self.at = place
        place.reach()
        self.known: dict[tuple[int, int], Trial] = {}
        self.told: list[Report | Ended] = []

    def place(self, trial: Trial) -> str:
        return f"job-{trial.number}-{trial.attempt}"

    def launch(self, trial: Trial) -> None:
        key = (trial.number, trial.attempt)
        self.at.launched.append(key)
        if self.at.down:  # it came to be, but the answer was lost
            self.at.running[key] = trial
            self.told.append(Ended(*key, "no answer", retry=True, unplaced=True))
        elif len(self.at.running) >= self.at.room:
            self.told.append(Ended(*key, "your quota is used up", retry=True, unplaced=True))
        else:
            self.at.running[key] = self.known[key] = trial
            self.at.most = max(self.at.most, len(self.at.running))

    def adopt(self, trial: Trial) -> bool:
        self.at.reach()
        key = (trial.number, trial.attempt)
        if key not in self.at.running:
            return False
        self.known[key] = trial
        return True

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        if not self.told and not self.at.holds.is_set():
            self.at.holds.wait(min(timeout, 0.005))
        self.at.reach()
        if self.at.holds.is_set():
            for key in [key for key in self.known if key in self.at.running]:
                trial = self.known.pop(key)
                del self.at.running[key]
                self.told += [Report(*key, 1, time.time(), {"loss": trial.parameters["x"]}), Ended(*key)]  # type: ignore[dict-item]
        told, self.told = self.told, []
        return told

    def stop(self, number: int) -> None:
        self.at.reach()
        for key in [key for key in self.known if key[0] == number]:
            self.at.stopped.append(key)
            self.at.running.pop(key, None)
            del self.known[key]
            self.told.append(Ended(*key, "it was stopped", retry=True))

    def billed(self, trial: Trial) -> float:
        return self.at.seconds

    def close(self) -> None:
        self.known.clear()


def job_of(trials: int = 8, parallel: int = 4, **fields: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            **plain_data(strategy={"type": "random", "seed": 1}, limits={"trials": trials, "parallel": parallel}),
            **fields,
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return Store(tmp_path).create(RunRecord(id="r", name="j", provider="mixed", profile="a,b", job="{}", plan="{}"))


def launcher(run: RunStore, places: Mapping[str, Place], at_once: int = 4, **settings: Any) -> MixedLauncher:
    def maker(place: Place) -> Callable[[], Launcher]:
        return lambda: PlaceLauncher(place)

    return MixedLauncher(
        run,
        {name: maker(place) for name, place in places.items()},
        at_once,
        MixedSettings(profiles={name: ("local", {}) for name in places}, **{"pause": 0.02, **settings}),
        {name: f"{name}:m" for name in places},
    )


def drive(
    run: RunStore, job: TuningJob, places: Mapping[str, Place], spending: Spending | None = None, **settings: Any
) -> RunState:
    with_ = launcher(run, places, job.limits.parallel, **settings)
    try:
        return Driver(job, run, with_, seed=1, spending=spending).run()
    finally:
        with_.close()


def once(condition: Callable[[], bool], then: Callable[[], None]) -> None:
    """Does something beside the driver, once a condition holds."""

    def wait() -> None:
        wait_until(condition)
        then()

    threading.Thread(target=wait, daemon=True).start()


def release(places: Mapping[str, Place]) -> None:
    """Lets the trials everywhere come to their end."""
    for place in places.values():
        place.holds.set()


def running(places: Mapping[str, Place]) -> int:
    return sum(len(place.running) for place in places.values())


def whereabouts(run: RunStore) -> Counter[str]:
    return Counter(profile_of(trial.place) for trial in run.trials())


def messages(run: RunStore) -> list[str]:
    return [message for _, _, message in run.events()]


def test_trials_spread_evenly_and_none_runs_twice(run: RunStore) -> None:
    places = {"a": Place(), "b": Place()}
    assert drive(run, job_of(12), places) is RunState.COMPLETED
    assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}
    assert [trial.metrics["loss"] for trial in run.trials()] == [trial.parameters["x"] for trial in run.trials()]
    assert sorted(places["a"].launched + places["b"].launched) == [(number, 1) for number in range(12)]
    assert min(whereabouts(run).values()) >= 2


def test_a_profile_gets_no_more_at_once_than_it_may(run: RunStore) -> None:
    places = {"a": Place(holds=True), "b": Place(holds=True)}
    once(lambda: running(places) == 6, lambda: release(places))
    assert drive(run, job_of(10, 6), places, parallel={"a": 1}) is RunState.COMPLETED
    assert places["a"].most == 1
    assert places["b"].most == 5


def test_the_first_with_room_is_filled_before_the_next(run: RunStore) -> None:
    places = {"a": Place(holds=True), "b": Place(holds=True)}
    once(lambda: running(places) == 4, lambda: release(places))
    drive(run, job_of(4, 4), places, parallel={"a": 3}, order="first")
    assert whereabouts(run) == {"a": 3, "b": 1}


def test_what_finds_no_room_goes_elsewhere_and_does_not_count_as_a_failure(run: RunStore) -> None:
    places = {"a": Place(room=1, holds=True), "b": Place(holds=True)}
    once(lambda: running(places) == 6, lambda: release(places))
    assert drive(run, job_of(6, 6, retries=0), places, pause=60) is RunState.COMPLETED
    assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}
    assert places["a"].most == 1
    assert places["b"].most == 5
    assert sum("a has no room: your quota is used up" in message for message in messages(run)) == 1


def test_a_profile_without_room_is_tried_again_after_a_while(run: RunStore) -> None:
    places = {"a": Place(room=0), "b": Place(holds=True)}

    def give_room() -> None:
        places["a"].room = 100

    once(lambda: len(places["b"].running) == 3, give_room)
    once(lambda: len(places["a"].launched) >= 8, places["b"].holds.set)
    assert drive(run, job_of(20, 4), places, parallel={"b": 3}) is RunState.COMPLETED
    assert whereabouts(run)["a"] >= 8


def test_trials_of_a_profile_out_of_reach_start_elsewhere_and_are_ended_there_when_it_is_back(run: RunStore) -> None:
    places = {"a": Place(holds=True), "b": Place(holds=True)}

    def outage() -> None:
        wait_until(lambda: len(places["a"].running) == 2 and len(places["b"].running) == 2)
        places["a"].down = True
        wait_until(lambda: len(places["b"].running) == 4)
        places["a"].down = False
        wait_until(lambda: not places["a"].running)
        release(places)

    disturbing = threading.Thread(target=outage)
    disturbing.start()
    assert drive(run, job_of(6, 4), places) is RunState.COMPLETED
    disturbing.join()
    assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}
    assert places["a"].stopped == places["a"].launched[:2], "what ran there is told to end"
    assert not list(Strays(run.folder).all())
    assert any("a cannot be used: no route to the service" in message for message in messages(run))


def test_a_launch_whose_answer_was_lost_leaves_no_second_job(run: RunStore) -> None:
    place, other = Place(holds=True), Place(holds=True)
    mixed = launcher(run, {"a": place, "b": other}, order="first", parallel={"a": 1})
    trial = Trial(0, {"x": 0.5}, attempt=1)
    trial.place = mixed.place(trial)
    place.down = True
    mixed.launch(trial)
    happened: list[Report | Ended] = []
    wait_until(lambda: bool(happened.extend(mixed.poll(0.05)) or happened))
    assert isinstance(happened[0], Ended)
    assert happened[0].lost
    assert not happened[0].unplaced
    assert (0, 1) in place.running
    place.down = False
    wait_until(lambda: not (mixed.poll(0.01) or place.running))
    assert place.stopped == [(0, 1)]
    mixed.close()


def test_what_cannot_be_ended_is_known_to_the_next_driver(run: RunStore) -> None:
    place = Place(holds=True)
    Strays(run.folder).add("a", Trial(3, {}, attempt=1, place="job-3-1"))
    place.running[(3, 1)] = Trial(3, {"x": 0.1}, attempt=1, place="job-3-1")
    launcher(run, {"a": place, "b": Place()}).close()
    assert place.stopped == [(3, 1)]
    assert not list(Strays(run.folder).all())


def test_a_paused_trial_goes_on_where_its_checkpoint_lies_or_waits_for_room_there(run: RunStore) -> None:
    places = {"a": Place(), "b": Place()}
    mixed = launcher(run, places, at_once=1)
    try:
        first, second = (Trial(number, {}, TrialState.PAUSED, attempt=1, place=place_in("b", "x")) for number in (0, 1))
        assert mixed.has_room_for(first)
        assert profile_of(mixed.place(first)) == "b"
        assert not mixed.has_room_for(second)
        assert mixed.room() == 1
        assert mixed.has_room_for(Trial(2, {}))
        assert profile_of(mixed.place(Trial(2, {}))) == "a"
        run.write(trials=[Trial(7, {}, place=place_in("b", "x"))])
        assert not mixed.has_room_for(Trial(8, {}, origin="parent:7"))
    finally:
        mixed.close()


def test_a_later_driver_takes_over_what_runs_at_each_profile(run: RunStore) -> None:
    places = {"a": Place(holds=True), "b": Place(holds=True)}
    first = launcher(run, places)
    trials = [Trial(number, {"x": 0.1 * number}, TrialState.RUNNING, attempt=1) for number in range(3)]
    for trial in trials:
        trial.place = first.place(trial)
        first.launch(trial)
    wait_until(lambda: len(places["a"].running) + len(places["b"].running) == 3)
    first.close()
    trials.append(Trial(3, {"x": 0.3}, TrialState.RUNNING, attempt=1, place="a:job-3-1"))  # was never launched
    run.write(trials=trials)
    release(places)
    assert drive(run, job_of(4), places) is RunState.COMPLETED
    assert [trial.attempt for trial in run.trials()] == [1, 1, 1, 2]
    assert Counter(places["a"].launched + places["b"].launched).most_common(1)[0][1] == 1


def test_when_no_profile_can_be_used_the_reasons_are_told(run: RunStore) -> None:
    places = {"a": Place(), "b": Place()}
    for place in places.values():
        place.refuses = True
    with pytest.raises(ProviderError, match=r"a cannot be used: you may not do this; b cannot be used"):
        drive(run, job_of(), places)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("trials on")]


def test_a_profile_that_refuses_gets_no_trials_and_the_others_all(run: RunStore) -> None:
    places = {"a": Place(), "b": Place()}
    places["a"].refuses = True
    assert drive(run, job_of(), places) is RunState.COMPLETED
    assert whereabouts(run) == {"b": 8}
    assert any("a cannot be used: you may not do this; it gets no more trials" in message for message in messages(run))


# Plans and profiles


def test_a_plan_takes_the_worst_of_all_and_says_on_which(tmp_path: Path) -> None:
    plan = provider_of("local,vertex", tmp_path).plan(job_of(compute={"spot": True, "instance": "n1-standard-4"}))
    assert plan.mode == "driven"
    assert plan.support("compute.spot") is Support.APPROXIMATE
    assert plan.support("name") is Support.EXACT
    note = next(note for note in plan.notes if note.path == "compute.spot")
    assert note.message.startswith("on local: ")


def test_what_is_said_to_one_provider_is_no_loss_on_the_other(tmp_path: Path) -> None:
    both = {"vertex": "n1-standard-4", "sagemaker": "ml.m5.large", "azureml": "Standard_DS3_v2"}
    images = {**dict.fromkeys(both, "own:1"), "sagemaker": "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"}
    job = job_of(compute={"instance": both}, trial={"command": "true", "image": images})
    plan = provider_of("aws,gcp", tmp_path).plan(job)
    for path in ("trial.image", "compute.instance"):
        assert [plan.support(f"{path}.{provider}") for provider in both] == [
            Support.EXACT,
            Support.EXACT,
            Support.APPROXIMATE,  # nobody of these hears it
        ]


def test_a_tuner_in_common_is_refused(tmp_path: Path) -> None:
    plan = provider_of("local,vertex", tmp_path).plan(job_of(mode="managed"))
    assert plan.support("mode") is Support.UNSUPPORTED


@pytest.mark.parametrize(
    ("config", "named", "said"),
    [
        ('[profiles.m]\nprovider = "mixed"\n', "m", "needs profiles"),
        ('[profiles.m]\nprovider = "mixed"\nprofiles = ["local", "local"]\n', "m", "each of them once"),
        ('[profiles.m]\nprovider = "mixed"\nprofiles = ["local", "nobody"]\n', "m", "no profile or provider 'nobody'"),
        ('[profiles.m]\nprovider = "mixed"\nprofiles = ["local", "aws"]\n', "m,local", "several profiles already"),
        ('[profiles.m]\nprovider = "mixed"\nprofiles = ["local"]\nparallel = {aws = 2}\n', "m", "parallel names 'aws'"),
        ('[profiles.m]\nprovider = "mixed"\nprofiles = ["local"]\nordr = "first"\n', "m", "did you mean 'order'"),
        ("", "mixed", "which profiles"),
    ],
)
def test_mistakes_in_a_profile_of_several_are_told(config: str, named: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text(config)
    with pytest.raises(ConfigError, match=said):
        provider_of(named, tmp_path)


def provider_of(on: str, project: Path) -> Any:
    profile = load_profile(on, project)
    made = load_provider(profile.provider)(profile.settings)
    made.tables = tables(profile, project)
    return made


# What trials cost

RATES = (Rate("a:m", Decimal(3600), "USD", count=2), Rate("b:m", Decimal(7200), "USD", count=1))
"""Two dollars a second of a trial, both."""


def test_each_attempt_is_charged_at_the_machine_that_ran_it(run: RunStore) -> None:
    places = {"a": Place(seconds=1.5), "b": Place(seconds=4.0), "c": Place(seconds=9.0)}
    drive(run, job_of(9, 3), places, Spending(job_of(), Machines("m or n", 2), RATES))
    cost = {"a": Decimal(3), "b": Decimal(8), "c": None}  # of c nothing is known
    assert set(whereabouts(run)) == {"a", "b", "c"}
    for trial in run.trials():
        assert trial.cost == cost[profile_of(trial.place)]
        assert [charge.machine for charge in trial.charges] == [f"{profile_of(trial.place)}:m"]


def test_a_budget_is_that_of_all_profiles_together(run: RunStore) -> None:
    job = job_of(50, 2, limits={"trials": 50, "parallel": 2, "cost": 40})
    spending = Spending(job, Machines("m", 2), RATES)
    assert drive(run, job, {"a": Place(seconds=1.5), "b": Place(seconds=4.0)}, spending) is RunState.COMPLETED
    assert run.record().reason.startswith("the budget is spent")
    trials = run.trials()
    spent = sum((trial.cost or Decimal(0) for trial in trials), Decimal(0))
    assert Decimal(30) < spent <= Decimal(40)  # the next might have cost 8
    assert len({profile_of(trial.place) for trial in trials}) == 2


COSTLY = [{"metric": "loss", "goal": "minimize"}, {"metric": "cost", "goal": "minimize"}]


def priced(
    prices: Mapping[str, str], tmp_path: Path, order: str = "even", currency: str = "USD", **fields: Any
) -> Plan:
    """The plan for this machine, where it has a price, and two profiles of AWS."""
    own = "".join(f"[prices.{name}]\n{line}\n" for name, line in prices.items())
    profiles = "".join(f'[profiles.{name}]\nprovider = "sagemaker"\n' for name in ("one", "two"))
    pool = f'[profiles.m]\nprovider = "mixed"\nprofiles = ["one", "local", "two"]\norder = "{order}"\n'
    (tmp_path / "cloudtune.toml").write_text(f'{profiles}{pool}[prices]\ncurrency = "{currency}"\n{own}')
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
    trial = {"command": "true", "image": image}
    usual = {"compute": {"instance": "ml.m5.xlarge"}, "trial": trial}
    return planned(provider_of("m", tmp_path), job_of(**{**usual, **fields}))[1]


OWN = {"one": '"ml.m5.xlarge" = 0.3', "two": '"ml.m5.xlarge" = 0.1'}


def test_a_plan_has_the_prices_of_all_profiles_as_each_of_them_pays(tmp_path: Path) -> None:
    plan = priced({**OWN, "local": "hour = 0.2"}, tmp_path)
    here = "local:process of this machine"
    found = [(rate.machine, str(rate.per_hour), rate.count) for rate in plan.rates]
    assert found == [("one:ml.m5.xlarge", "0.3", 1), (here, "0.2", 1), ("two:ml.m5.xlarge", "0.1", 1)]
    assert Plan.from_data(plan.to_data()).rates == plan.rates
    kept = priced(OWN, tmp_path, compute={"instance": "ml.m5.xlarge", "keep": "15m"})
    assert [rate.kept for rate in kept.rates] == [900.0, 900.0]
    assert not [note for note in plan.notes if note.path == "limits.cost"]


@pytest.mark.parametrize(
    ("here", "order"),
    [({"local": "hour = 0.2"}, ["two", "local", "one"]), ({}, ["local", "two", "one"])],  # one's own, which is paid for
)
def test_the_cheapest_profile_is_the_first_to_get_trials_if_the_pool_says_so(
    here: Mapping[str, str], order: list[str], tmp_path: Path
) -> None:
    plan = priced({**OWN, **here}, tmp_path, "cheapest")
    assert list(plan.request) == order
    assert plan.rates[0].machine == next(f"{name}:ml.m5.xlarge" for name in order if name != "local")


def test_what_is_not_known_of_a_profiles_prices_is_said(tmp_path: Path) -> None:
    (note,) = [note for note in priced(OWN, tmp_path).notes if note.path == "limits.cost"]
    assert note.support is Support.UNCHECKED
    assert note.message.startswith("nothing says what trials cost on local")
    asked = priced(OWN, tmp_path, limits={"trials": 8, "cost": 5})
    (note,) = [note for note in asked.notes if note.path == "limits.cost"]
    assert note.support is Support.APPROXIMATE
    assert note.message.startswith("on local: of no effect, since nothing says what a process of this machine costs")


def test_prices_in_several_currencies_are_no_price_and_keep_no_budget(tmp_path: Path) -> None:
    mine = {"one": '"ml.m5.xlarge" = 0.3'}  # in euros, and what two costs is listed in dollars
    message = "the prices of one in EUR, those of two in USD: give them in one currency in [prices]"
    plan = priced(mine, tmp_path, currency="EUR")
    assert plan.rates == ()
    assert [str(note) for note in plan.notes if message in note.message] == [
        f"limits.cost: unchecked: what the run costs is not known, since {message}"
    ]
    plan = priced(mine, tmp_path, currency="EUR", limits={"trials": 8, "cost": 5}, objective=COSTLY)
    refused = {note.path for note in plan.notes if note.support is Support.UNSUPPORTED and note.message == message}
    assert refused == {"limits.cost", "objective[1].metric"}
