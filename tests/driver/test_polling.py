"""The launcher of plain jobs, over a runner whose service says what the test says."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plain_jobs import plain_data

from cloudtune.driver.launcher import Ended, Queued, Remark
from cloudtune.driver.machine_choice import MachineChoice
from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.polling import JobLauncher, JobRunner
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.errors import EmulatorEnded, ProviderError, QuotaError
from cloudtune.planning.plan import Machines, Plan
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, Trial, TrialState

JOB = TuningJob.from_data(plain_data(limits={"trials": 3, "trial_time": "2m"}))


class Runner(JobRunner):
    """A service that refuses what `refused` says, and tells what `told` says, a list for each poll."""

    once = True
    for_good = frozenset({"400"})

    def __init__(self, *machines: str) -> None:
        own = Machines(machines[0], others=machines[1:]) if machines else None
        plan = Plan("toy", "driven", {}, machines=own)
        super().__init__(RunBrief("r", JOB, plan, {}, 0.0, 0.0, lambda: {"shared": True}))
        self.full: set[str] = set()
        self.on = machines[0] if machines else ""
        self.got: list[str] = []
        self.refused: ProviderError | None = None
        self.told: list[list[TrialSnapshot] | ProviderError] = []
        self.asked: list[list[str]] = []
        self.jobs: list[str] = []
        self.stopped: list[str] = []

    def place(self, trial: Trial) -> str:
        return f"{trial.number}-{trial.attempt}"

    def submit(self, trial: Trial) -> None:
        assert self.template == {"shared": True}
        if self.refused is not None:
            raise self.refused
        if self.on in self.full:
            raise QuotaError(f"the quota of {self.on} is used up")
        self.got.append(self.on)
        self.jobs.append(self.place(trial))

    def use_machine(self, machine: str) -> None:
        self.on = machine

    def machine_of(self, trial: Trial) -> str:
        return self.got[self.jobs.index(self.place(trial))]

    def find(self, trial: Trial) -> bool:
        return self.place(trial) in self.jobs

    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        self.asked.append([self.place(trial) for trial in trials])
        told = self.told.pop(0) if self.told else []
        if isinstance(told, ProviderError):
            raise told
        return told

    def stop(self, place: str) -> None:
        self.stopped.append(place)

    def lines(self, trial: Trial, over: Any) -> Iterator[str]:
        yield f"of {trial.place}"

    def files(self, trial: Trial, target: Path) -> list[Path]:
        raise NotImplementedError


def trial(number: int = 0, attempt: int = 1) -> Trial:
    return Trial(number, {"x": 0.5}, TrialState.RUNNING, attempt=attempt, place=f"{number}-{attempt}")


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def launcher(runner: Runner) -> JobLauncher:
    return JobLauncher(runner)


def test_reports_come_before_the_end_and_nothing_is_asked_without_trials(runner: Runner, launcher: JobLauncher) -> None:
    assert launcher.poll(0.0) == []
    assert runner.asked == []
    launcher.launch(trial())
    report = Report(0, 1, 1, 5.0, {"loss": 1.0})
    runner.told = [[TrialSnapshot(0, "0-1", TrialState.COMPLETED, reports=[report])]]
    assert launcher.poll(0.0) == [report, Ended(0, 1, billed=0.0)]
    assert launcher.poll(0.0) == []
    assert runner.asked == [["0-1"]]


@pytest.mark.parametrize(
    ("seen", "ended"),
    [
        ({"state": TrialState.FAILED, "reason": "broke"}, Ended(0, 1, "broke", retry=True)),
        ({"state": TrialState.FAILED}, Ended(0, 1, "the service gave no reason", retry=True)),
        ({"state": TrialState.CANCELLED, "reason": "gone", "retry": False}, Ended(0, 1, "gone")),
        ({"state": TrialState.FAILED, "reason": "no room", "unplaced": True}, Ended(0, 1, "no room", retry=True, unplaced=True)),
        (
            {"state": TrialState.CANCELLED, "reason": "stopped", "too_long": True},
            Ended(0, 1, "it ran longer than 2m (limits.trial_time)"),
        ),
    ],
)  # fmt: skip
def test_how_an_attempt_ended(
    runner: Runner, launcher: JobLauncher, seen: dict[str, Any], ended: Ended
) -> None:  # fmt: skip
    launcher.launch(trial())
    runner.told = [[TrialSnapshot(0, "0-1", **seen)]]
    assert launcher.poll(0.0) == [replace(ended, billed=0.0)]


@pytest.mark.parametrize(
    ("snapshots", "billed"),
    [
        ([{"started": 100.0}, {"state": TrialState.COMPLETED, "ended": 130.5}], 30.5),
        ([{"started": 100.0, "state": TrialState.FAILED, "ended": 90.0}], 0.0),
        ([{"started": 100.0}, {"state": TrialState.COMPLETED, "ended": 130.5, "billed": 12.0}], 12.0),
        ([{"state": TrialState.CANCELLED, "ended": 130.5}], 0.0),
    ],
    ids=["from its start to its end", "a clock that goes back", "as the service says", "it never started"],
)
def test_an_attempt_is_billed_for_the_time_of_its_machine_alone(
    runner: Runner, launcher: JobLauncher, snapshots: list[dict[str, Any]], billed: float
) -> None:
    launcher.launch(trial())
    runner.told = [[TrialSnapshot(0, "0-1", **seen)] for seen in snapshots]
    updates = [update for _ in snapshots for update in launcher.poll(0.0)]
    assert [update.billed for update in updates if isinstance(update, Ended)] == [billed]


@pytest.mark.parametrize(
    ("error", "retry", "unplaced"),
    [
        (ProviderError("the request is wrong", code="400"), False, False),
        (ProviderError("it is out of order", code="500", retryable=True), True, True),
        (QuotaError("no more machines", code="429"), True, True),
    ],
)
def test_a_job_that_is_refused_is_the_end_of_its_attempt(
    runner: Runner, launcher: JobLauncher, error: ProviderError, retry: bool, unplaced: bool
) -> None:
    runner.refused = error
    launcher.launch(trial())
    launcher.stop(0)
    assert launcher.poll(0.0) == [Ended(0, 1, str(error), retry=retry, unplaced=unplaced, billed=0.0)]
    assert runner.asked == []
    assert runner.stopped == []


def test_an_emulator_that_ended_says_nothing_of_the_trial(runner: Runner, launcher: JobLauncher) -> None:
    runner.refused = EmulatorEnded("it has ended")
    with pytest.raises(EmulatorEnded):
        launcher.launch(trial())


def test_a_job_is_taken_over_only_where_there_is_one(runner: Runner, launcher: JobLauncher) -> None:
    runner.jobs = ["1-2"]
    assert not launcher.adopt(trial(1, 1))
    assert launcher.adopt(trial(1, 2))
    assert launcher.once
    assert launcher.outlives(trial(1, 2))
    launcher.stop(1)
    assert runner.stopped == ["1-2"]


def looks(why: str) -> list[TrialSnapshot]:
    return [TrialSnapshot(0, "0-1", TrialState.RUNNING, waiting=why)]


def test_an_attempt_that_waits_is_told_so_where_that_has_changed(runner: Runner, launcher: JobLauncher) -> None:
    launcher.launch(trial())
    runner.told = [looks(why) for why in ("", "a node", "a node", "its container", "", "")]
    told = [launcher.poll(0.0) for _ in range(6)]
    assert told == [[], [Queued(0, 1, "a node")], [], [Queued(0, 1, "its container")], [Queued(0, 1, "")], []]


@pytest.mark.parametrize(("now", "told"), [("", [Queued(0, 1, "")]), ("a node", [])])
def test_a_waiting_attempt_that_is_taken_over_is_told_to_have_begun(
    runner: Runner, launcher: JobLauncher, now: str, told: list[Queued]
) -> None:
    runner.jobs = ["0-1"]
    assert launcher.adopt(replace(trial(), state=TrialState.WAITING, reason="waits for a node"))
    runner.told = [looks(now)]
    assert launcher.poll(0.0) == told


def test_an_outage_is_tolerated_and_asked_again(runner: Runner, launcher: JobLauncher) -> None:
    launcher.launch(trial())
    passing = ProviderError("out of order", retryable=True)
    runner.told = [passing, passing, [TrialSnapshot(0, "0-1", TrialState.COMPLETED)]]
    assert launcher.poll(0.0) == []
    assert launcher.poll(0.0) == []
    assert launcher.poll(0.0) == [Ended(0, 1, billed=0.0)]
    launcher.launch(trial(1))
    runner.told = [ProviderError("forbidden")]
    with pytest.raises(ProviderError, match="forbidden"):
        launcher.poll(0.0)


def test_what_a_trial_printed_is_the_runners(launcher: JobLauncher) -> None:
    assert launcher.printed(trial()) == ["of 0-1"]


def test_a_machine_type_whose_quota_is_used_up_gives_way_to_the_next() -> None:
    runner = Runner("large", "middle", "small")
    launcher = JobLauncher(runner)
    runner.full = {"large", "middle"}
    launcher.launch(trial(0))
    launcher.launch(trial(1))
    assert runner.got == ["small", "small"]
    runner.told = [[TrialSnapshot(0, "0-1", TrialState.COMPLETED), TrialSnapshot(1, "1-1", TrialState.COMPLETED)]]
    remarks = launcher.poll(0.0)
    said = ["large has no room (the quota of large is used up); middle is tried next",
            "middle has no room (the quota of middle is used up); small is tried next"]  # fmt: skip
    assert remarks == [Remark(0, 1, text) for text in said]
    assert launcher.poll(0.0) == [Ended(number, 1, billed=0.0, machine="small") for number in (0, 1)]


def test_where_no_machine_type_has_room_the_attempt_ends_and_the_next_begins_with_the_preferred_one() -> None:
    runner = Runner("large", "small")
    launcher = JobLauncher(runner)
    runner.full = {"large", "small"}
    launcher.launch(trial(0))
    [remark] = launcher.poll(0.0)
    assert isinstance(remark, Remark)
    [ended] = launcher.poll(0.0)
    assert ended == Ended(0, 1, "the quota of small is used up", retry=True, unplaced=True, billed=0.0)
    runner.full.clear()
    launcher.launch(trial(1))
    assert runner.got == ["large"]


def test_an_attempt_that_got_no_machine_is_started_again_on_the_next_type() -> None:
    runner = Runner("large", "small")
    launcher = JobLauncher(runner)
    launcher.launch(trial(0))
    runner.told = [[TrialSnapshot(0, "0-1", TrialState.FAILED, reason="CapacityError", unplaced=True)]]
    remark, ended = launcher.poll(0.0)
    assert remark == Remark(0, 1, "large has no room (CapacityError); small is tried next")
    assert ended == Ended(0, 1, "CapacityError", retry=True, lost=True, unplaced=True, billed=0.0, machine="large")
    launcher.launch(trial(0, 2))
    assert runner.got == ["large", "small"]


def test_an_adopted_attempt_is_charged_for_the_machine_that_it_has() -> None:
    runner = Runner("large", "small")
    runner.full = {"large"}
    JobLauncher(runner).launch(trial(0))
    runner.use_machine("large")  # what another driver begins with
    launcher = JobLauncher(runner)
    assert launcher.adopt(trial(0))
    assert launcher.machine(trial(0)) == "small"
    runner.told = [[TrialSnapshot(0, "0-1", TrialState.COMPLETED)]]
    assert launcher.poll(0.0) == [Ended(0, 1, billed=0.0, machine="small")]


def test_a_type_that_had_no_room_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("cloudtune.driver.machine_choice.time.monotonic", lambda: now[0])
    choice = MachineChoice(["large", "small"])
    assert choice.without_room("large")
    assert choice.current == "small"
    now[0] += 901
    assert choice.current == "large"


def test_without_a_choice_nothing_is_tried_elsewhere() -> None:
    choice = MachineChoice(["only"])
    assert not choice.without_room("only")
    assert choice.current == "only"
    assert MachineChoice([]).current == ""


def test_a_runner_that_cannot_change_the_machine_type_has_the_first_alone() -> None:
    """As one of another package has it, whose author thought of one type."""

    class OneType(Runner):
        use_machine = JobRunner.use_machine

    runner = OneType("large", "small")
    assert runner.machines == ("large",)
    launcher = JobLauncher(runner)
    runner.full = {"large"}
    launcher.launch(trial())
    assert launcher.poll(0.0) == [Ended(0, 1, "the quota of large is used up", retry=True, unplaced=True, billed=0.0)]


def test_an_outage_is_no_lack_of_room() -> None:
    runner = Runner("large", "small")
    launcher = JobLauncher(runner)
    runner.refused = ProviderError("it is out of order", code="500", retryable=True)
    launcher.launch(trial(0))
    assert [update.unplaced for update in launcher.poll(0.0) if isinstance(update, Ended)] == [True]
    assert runner.on == "large"


def over(number: int) -> TrialSnapshot:
    return TrialSnapshot(number, f"{number}-1", TrialState.COMPLETED)


def test_trials_above_a_quota_wait_until_others_of_the_run_end(runner: Runner, launcher: JobLauncher) -> None:
    launcher.launch(trial(0))
    runner.refused = QuotaError("2 of 2 are used")
    launcher.launch(trial(1))
    runner.refused = ProviderError("is not asked", code="400")
    launcher.launch(trial(2))
    why = "room (2 of 2 are used)"
    assert launcher.poll(0.0) == [Queued(1, 1, why), Queued(2, 1, why)]
    assert launcher.room() == 0
    runner.told, runner.refused = [[over(0)]], None
    assert launcher.poll(0.0) == [Ended(0, 1, billed=0.0), Queued(1, 1, ""), Queued(2, 1, "")]
    assert (runner.jobs, runner.asked, launcher.room()) == (["0-1", "1-1", "2-1"], [["0-1"]], None)


def test_a_quota_that_no_trial_of_the_run_uses_ends_those_above_it(
    runner: Runner, launcher: JobLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.refused = QuotaError("0 are allowed")
    launcher.launch(trial(0))
    launcher.launch(trial(1))
    assert launcher.poll(0.0) == [Ended(number, 1, "0 are allowed", retry=True, unplaced=True, billed=0.0) for number in (0, 1)]  # fmt: skip
    runner.refused = None
    launcher.launch(trial(2))
    runner.refused, runner.told = QuotaError("others use all"), [[over(2)]]
    launcher.launch(trial(3))
    assert [type(each) for each in launcher.poll(0.0)] == [Queued]
    assert launcher.poll(0.0) == [Ended(2, 1, billed=0.0)]
    monkeypatch.setattr("cloudtune.driver.polling._ROOM_WITHIN", 0.0)
    launcher._next_try = 0.0
    launcher.poll(0.0)
    (ended,) = launcher.poll(0.0)
    assert ended == Ended(3, 1, "others use all", retry=True, unplaced=True, billed=0.0)


def test_a_trial_that_waits_for_a_quota_is_stopped_without_a_job_and_waits_for_none_where_others_have_room(
    runner: Runner, launcher: JobLauncher
) -> None:
    launcher.launch(trial(0))
    runner.refused = QuotaError("full")
    launcher.launch(trial(1))
    launcher.stop(1)
    assert launcher.poll(0.0) == [Queued(1, 1, "room (full)")]
    assert launcher.poll(0.0) == [Ended(1, 1, "it was stopped before it had room", billed=0.0)]
    assert runner.stopped == []
    launcher.waits_for_room = False
    launcher.launch(trial(2))
    assert launcher.poll(0.0) == [Ended(2, 1, "full", retry=True, unplaced=True, billed=0.0)]
