"""A driver that is a small job on a service: what it does is known here, live, and the run needs this machine no more."""

import errno
import json
import re
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from amounts import examples
from cloud_runs import SLOW, job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, SpecError
from cloudtune.notifying.outbox import wait_for_all
from cloudtune.provider.handle import RunHandle
from cloudtune.remote.journal import JOURNAL, PREFIX, Journal, JournalFile, Reader, TakenOver, copy
from cloudtune.remote.provider import RemoteDriver
from cloudtune.run import Run
from cloudtune.store.enqueued import enqueue, enqueued
from cloudtune.store.records import Charge, Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store
from cloudtune.testing.conformance import wait_until

# The journal


def store_in(folder: Path) -> Store:
    store = Store(folder)
    store.create(RunRecord(id="r", name="j", provider="p", profile="p", job="{}", plan="{}"))
    return store


def all_of(run: RunStore) -> tuple[Any, ...]:
    events = [(number, message) for _, number, message in run.events()]
    record = run.record()
    return run.trials(), list(run.reports()), events, (record.state, record.reason, record.elapsed, record.ended)


def drive(journal: Journal, trials: int = 3, steps: int = 4) -> None:
    """What a driver writes, in short."""
    journal.write(columns={"state": "running", "started": 1.5})
    for number in range(trials):
        trial = Trial(number, {"x": number / 7, "k": "ä\n"}, TrialState.RUNNING, attempt=1, place=f"job-{number}")
        journal.write(trials=[trial], events=[(number, "begins")])
        journal.write(reports=[Report(number, 1, step, 10.0 + step, {"s": step / 3}) for step in range(steps)])
        trial.state, trial.metrics, trial.ended = TrialState.COMPLETED, {"s": float("inf")}, 20.0
        trial.charges = (Charge(1, "m5.large", 2, 7.5, Decimal("0.12"), "USD"), Charge(2, "own", 1, 0.5))
        journal.write(trials=[trial], columns={"elapsed": number + 0.25})
    journal.forget_reports(0, 1)
    journal.write(columns={"state": "completed", "reason": "as it should", "ended": 30.0}, events=[(None, "completed")])


@pytest.fixture
def far(tmp_path: Path) -> tuple[RunStore, list[str]]:
    """A store elsewhere, and the lines that its driver printed."""
    lines: list[str] = []
    journal = Journal(store_in(tmp_path / "far"), "r", lines.append)
    drive(journal)
    return journal, lines


def test_whoever_reads_the_lines_knows_what_the_driver_knows(far: tuple[RunStore, list[str]], tmp_path: Path) -> None:
    here = store_in(tmp_path / "here").run("r")
    reader = Reader(here)
    for line in far[1]:
        reader.read("something else that was printed")
        reader.read(f"2026-01-01T00:00:00Z {line}")  # as services put times before lines
    assert all_of(here) == all_of(far[0])
    assert not reader.gap


@given(cuts=st.lists(st.integers(0, 15), max_size=6))
@settings(max_examples=examples(100))
def test_lines_may_be_read_again_and_again_and_are_taken_in_once(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, lines = tmp_path_factory.mktemp("journal"), list[str]()
    journal = Journal(store_in(folder / "far"), "r", lines.append)
    drive(journal)
    here = store_in(folder / "here").run("r")
    for cut in [*cuts, len(lines)]:
        reader = Reader(here)  # somebody new, who reads the log from its beginning
        for line in lines[:cut]:
            reader.read(line)
        assert not reader.gap
    assert all_of(here) == all_of(journal)
    here.store.close()
    journal.store.close()


@pytest.mark.parametrize("lost", ["whole", "half"])
def test_a_line_that_was_lost_is_noticed(lost: str, far: tuple[RunStore, list[str]], tmp_path: Path) -> None:
    reader = Reader(store_in(tmp_path / "here").run("r"))
    for number, line in enumerate(far[1]):
        if number != 3:
            reader.read(line)
        elif lost == "half":
            reader.read(line[: len(line) // 2])
    assert reader.gap


def test_a_driver_that_was_started_again_goes_on_where_its_store_was(tmp_path: Path) -> None:
    lines: list[str] = []
    far = store_in(tmp_path / "far")
    drive(Journal(far, "r", lines.append), trials=2)
    Journal(far, "r", lines.append).write(trials=[Trial(2, {"x": 1.0})])
    here = store_in(tmp_path / "here").run("r")
    reader = Reader(here)
    for line in lines:
        reader.read(line)
    assert not reader.gap
    assert all_of(here) == all_of(far.run("r"))


def test_a_driver_that_was_killed_goes_on_from_the_file_of_its_entries_and_tells_them_again(tmp_path: Path) -> None:
    lines: list[str] = []
    kept = JournalFile(tmp_path / "journal.txt")

    def say(line: str) -> None:
        kept.append(line)
        lines.append(line)

    drive(Journal(store_in(tmp_path / "far"), "r", say))
    kept.close()
    with (tmp_path / "journal.txt").open("a") as file:
        file.write(lines[0][:20])  # it was killed in the middle of a line
    again, reader = JournalFile(tmp_path / "journal.txt"), Reader(store_in(tmp_path / "again").run("r"))
    assert again.earlier == lines
    for line in again.earlier:
        reader.read(line)
    journal = Journal(Store(tmp_path / "again"), "r", again.append, reader.last)
    assert all_of(journal) == all_of(Store(tmp_path / "far").run("r"))
    journal.write(columns={"reason": "goes on"})
    again.close()
    here = store_in(tmp_path / "here").run("r")
    whole = (tmp_path / "journal.txt").read_text().splitlines()
    for some in (whole[:4], whole[6:], whole):  # the fifth and sixth are told late
        reader = Reader(here, whole=True)
        for line in some:
            reader.read(line)
        assert reader.gap == (some == whole[6:])
        if reader.gap:
            assert len(here.trials()) < 3, "nothing after a gap is taken before that is filled"
    assert all_of(here) == all_of(journal)


def test_a_driver_that_another_has_taken_over_from_acts_no_more_where_files_have_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("cloudtune.remote.journal.lock", none)
    path, entries = tmp_path / "journal.txt", [f"{PREFIX}{number}" for number in range(5)]
    cut_off = JournalFile(path)
    cut_off.append(entries[0])
    later = JournalFile(path)
    assert later.earlier == entries[:1]
    with pytest.raises(TakenOver):
        cut_off.append(entries[1])
    later.append(entries[2])
    monkeypatch.setattr(JournalFile, "_check", lambda _: None)
    cut_off.append(entries[3])  # it had looked just before, and finds out after
    monkeypatch.undo()
    monkeypatch.setattr("cloudtune.remote.journal.lock", none)
    for each in (cut_off, later):
        with pytest.raises(TakenOver):
            each.append(entries[4])
    assert JournalFile(path).earlier == [entries[0], entries[2], entries[3]], "the one that acted stands first"


def test_what_one_runs_log_lacks_is_read_however_soon_after_anothers(
    far: tuple[RunStore, list[str]], tmp_path: Path
) -> None:
    class Kept:
        def __init__(self, run: str) -> None:
            self.id = f"{run}-driver-1"

        def fetch(self, _number: int, target: Path) -> list[Path]:
            (target / JOURNAL).write_text("\n".join(far[1]))
            return [target / JOURNAL]

    host: Any = SimpleNamespace(keeps_appended=True)
    host.driver_host = lambda: host
    target: Any = SimpleNamespace(settings={}, mounts={}, name="p")
    provider = RemoteDriver(target, (), host, "p")
    for name in ("one", "other"):
        here = store_in(tmp_path / name).run("r")
        reader, driver = Reader(here, whole=True), Kept(name)
        reader.read(far[1][-1])  # the log has its end alone
        assert reader.gap
        provider._fill(reader, cast("RunHandle", driver))  # within the minute of another run's
        assert all_of(here) == all_of(far[0])


def test_enqueued_trials_go_along_with_the_driver_and_are_taken_up_once(tmp_path: Path) -> None:
    lines: list[str] = []
    here, far = store_in(tmp_path / "here").run("r"), store_in(tmp_path / "far").run("r")
    enqueue(here, [{"x": 0.25}, {"x": 0.5}])
    copy(here, far)
    taken, left = enqueued(far)
    journal = Journal(far.store, "r", lines.append)
    journal.write(trials=[Trial(0, {"x": 0.25}, origin="tried")], taken=[taken.id])
    for _ in range(2):  # the second time there is nothing new
        reader = Reader(here)
        for line in lines:
            reader.read(line)
    assert here.trials() == far.trials() == [Trial(0, {"x": 0.25}, origin="tried")]
    assert [each.parameters for each in enqueued(here)] == [left.parameters] == [{"x": 0.5}]
    journal.write(trials=[Trial(1, {"x": 0.5}, origin="tried")], taken=[left.id])  # of which no line arrives
    copy(far, here)
    assert here.trials() == far.trials()
    assert enqueued(here) == []


def test_a_line_is_short_enough_for_any_service(tmp_path: Path) -> None:
    lines: list[str] = []
    journal = Journal(store_in(tmp_path), "r", lines.append)
    parameters = {f"parameter_{number}": number / 3 for number in range(30)}
    journal.write(
        trials=[Trial(number, parameters) for number in range(1000)],
        reports=[Report(number, 1, 1, 1.0, {f"metric_{name}": 1 / 3 for name in range(20)}) for number in range(1000)],
    )
    assert len(lines) == 20
    assert max(map(len, lines)) < 250_000
    assert all(line.startswith(PREFIX) for line in lines)


# Runs


@pytest.fixture
def emulated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The emulator of a service, and its short name."""
    on: str = request.param
    names = {"aws": "sagemaker", "gcp": "vertex", "azure": "azureml"}
    modules = {"aws": "moto", "gcp": "google.cloud.aiplatform_v1", "azure": "azure.ai.ml"}
    pytest.importorskip(modules[on])
    request.getfixturevalue(f"{names[on]}_emulator")
    monkeypatch.setenv(f"CLOUDTUNE_{names[on].upper()}_POLL", "0.3")
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    return on


on_all = pytest.mark.parametrize(
    "emulated",
    ["aws", *(pytest.param(name, marks=pytest.mark.complete) for name in ("gcp", "azure"))],
    indirect=True,
)
on_aws = pytest.mark.parametrize("emulated", ["aws"], indirect=True)

READS_ALL = """
import os, pathlib
import cloudtune.trial as t
number = float(pathlib.Path(t.data("table"), "n.txt").read_text()) + float(pathlib.Path(t.data("one")).read_text())
for step in (1, 2, 3):
    t.report(score=t.params()["x"] * step + number + float(os.environ["SECRET"]), step=step)
print("done", flush=True)
"""


@on_all
def test_a_run_is_what_it_would_be_if_it_were_driven_here(emulated: str, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "n.txt").write_text("10")
    (tmp_path / "one.txt").write_text("100")
    job = job_of(
        tmp_path,
        READS_ALL,
        trial={"environment": {"SECRET": "0.31415926"}},
        data={"table": "table", "one": "one.txt"},
        strategy={"type": "random", "seed": 4},
        notify={"command": "cat >> told.jsonl; echo >> told.jsonl"},
    )
    run = api.submit(job, emulated, project=tmp_path, base=tmp_path, driver=emulated)
    assert run.wait() is RunState.COMPLETED, run.trials()[0].reason
    wait_for_all()
    (told,) = (json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines())
    assert (told["run"], told["state"]) == (run.id, "completed"), "its driver elsewhere tells nobody"
    here = api.submit(job, "local", project=tmp_path, base=tmp_path)
    here.wait()
    assert [(each.parameters, each.metrics, each.attempt) for each in run.trials()] == [
        (each.parameters, each.metrics, each.attempt) for each in here.trials()
    ]
    assert [report.step for report in run.reports(2)] == [1, 2, 3]
    assert "done" in list(run.logs(0))
    if emulated == "aws":  # whose default machine has a price
        cost, driver = run.cost, run.plan.driver
        assert driver is not None
        assert cost is not None
        assert 0 < cost.driver < cost.spent
        assert cost.spent == cost.driver + sum(each.cost or 0 for each in run.trials())
        assert here.cost is None
    assert api.attach(run.id, project=tmp_path).best == run.best
    assert api.runs(project=tmp_path)[-1].id == run.id, "its driver is no run of the project"
    kept = [path for path in (tmp_path / ".cloudtune").rglob("*") if path.is_file() and path.name != "log.txt"]
    assert not [path for path in kept if b"0.31415926" in path.read_bytes() and ".db" not in path.suffix]


def driver_of(run: Run) -> RunHandle:
    found = run._provider._driver(run._store)  # type: ignore[attr-defined]
    assert isinstance(found, RunHandle)
    return found


def training_jobs(but: str = "") -> Counter[str]:
    """The states of the training jobs, but for those whose names begin so."""
    import boto3

    found = boto3.Session().client("sagemaker").list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    return Counter(job["TrainingJobStatus"] for job in found if not (but and job["TrainingJobName"].startswith(but)))


@pytest.mark.complete
@on_aws
def test_who_follows_may_leave_and_come_back(emulated: str, tmp_path: Path) -> None:
    run = api.submit(
        job_of(tmp_path, SLOW, limits={"trials": 6}), emulated, project=tmp_path, base=tmp_path, driver=emulated
    )

    def leave(progress: Any) -> None:
        if progress.counts.get("completed", 0) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.wait(leave)
    assert run.record.state is RunState.RUNNING
    other = api.attach(run.id, project=tmp_path)
    wait_until(lambda: other._provider._refreshed.clear() or (bool(other.refresh()) and len(other.trials()) == 6))  # type: ignore[attr-defined]
    assert other.wait() is RunState.COMPLETED
    assert [trial.attempt for trial in other.trials()] == [1] * 6
    assert all(len(list(other.reports(number))) == 1 for number in range(6))


@on_aws
def test_a_run_that_ended_goes_on_under_another_driver_with_what_was_enqueued(emulated: str, tmp_path: Path) -> None:
    job = job_of(tmp_path, SLOW, limits={"trials": 2})
    run = api.submit(job, emulated, project=tmp_path, base=tmp_path, driver=emulated)
    wait_until(lambda: run.refresh() is RunState.RUNNING)
    with pytest.raises(ConfigError, match="does not see what is enqueued here"):
        run.enqueue({"x": 0.25})
    assert run.wait() is RunState.COMPLETED
    assert run.enqueue({"x": 0.25}) is RunState.COMPLETED
    assert run.extend(trials=2).wait() is RunState.COMPLETED
    assert [trial.origin for trial in run.trials()] == ["", "", "tried", ""]
    assert [trial.attempt for trial in run.trials()] == [1] * 4
    assert (run.enqueued, run.trials()[2].metrics["score"]) == ([], 0.25)
    assert sum("its driver is" in message for _, _, message in run.events()) == 2


@on_aws
def test_cancelling_ends_the_driver_and_all_that_it_launched(emulated: str, tmp_path: Path) -> None:
    script = "import time\ntime.sleep(100)\n"
    run = api.submit(job_of(tmp_path, script), emulated, project=tmp_path, base=tmp_path, driver=emulated)

    def cancel(progress: Any) -> None:
        if len(progress.running) == 2 and not run._store.wish():
            api.attach(run.id, project=tmp_path).cancel()

    assert run.wait(cancel) is RunState.CANCELLED
    assert {trial.state for trial in run.trials()} == {TrialState.CANCELLED}
    wait_until(lambda: set(training_jobs()) == {"Stopped"})


@pytest.mark.complete
@on_aws
def test_a_driver_that_was_ended_is_followed_by_another_that_takes_over(emulated: str, tmp_path: Path) -> None:
    run = api.submit(
        job_of(tmp_path, SLOW, limits={"trials": 5}), emulated, project=tmp_path, base=tmp_path, driver=emulated
    )
    struck = []

    def strike(progress: Any) -> None:
        if progress.counts.get("completed", 0) >= 2 and not struck:
            struck.append(time.time())
            driver_of(run).cancel()

    assert run.wait(strike) is RunState.INTERRUPTED
    assert "resume" in run.record.reason
    assert run.resume().wait() is RunState.COMPLETED, run.events()
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 5
    assert all(trial.metrics["score"] == trial.parameters["x"] for trial in trials)
    assert len([message for _, _, message in run.events() if message.startswith("its driver is")]) == 2
    done = training_jobs(but="runs-driver")
    assert done["Completed"] == 5, "no finished trial ran again"


@pytest.mark.parametrize(
    ("on", "driver", "fields", "said"),
    [
        ("local", "gcp", {}, "leave --driver away"),
        ("local,gcp", "gcp", {}, "leave --driver away"),
        ("gcp", "local", {}, "the profile of a service"),
        ("gcp", "gcp", {"mode": "managed"}, "mode: is managed"),
        ("gcp", "nowhere", {}, "no profile or provider 'nowhere'"),
    ],
)
def test_a_driver_that_cannot_be_is_refused(
    on: str, driver: str, fields: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_VERTEX_IMAGE", "own:latest")
    with pytest.raises((ConfigError, SpecError), match=re.escape(said)):
        api.prepare(job_of(tmp_path, **fields), on, project=tmp_path, base=tmp_path, driver=driver)
    assert api.runs(project=tmp_path) == []


@pytest.mark.complete
def test_the_command_line_starts_a_driver_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moto")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_POLL", "0.3")
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    (tmp_path / "job.yaml").write_text(job_of(tmp_path).to_yaml())
    assert run_app(["run", "job.yaml", "--on", "aws", "--driver", "aws", "--emulate", "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["counts"] == {"completed": 4}
    assert run_app(["show"]) in (0, None)  # the emulator is gone
    assert "its driver is runs-driver-" in capsys.readouterr().out
    assert run_app(["fetch", "latest", "-o", "model"]) in (0, None)
    assert float((tmp_path / "model" / "model.txt").read_text()) == result["best"]["parameters"]["x"]
