"""The store: what is written is read back, by anyone, at any time."""

import copy
import errno
import gc
import itertools
import math
import multiprocessing
import multiprocessing.synchronize
import pickle
import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from older_stores import lower
from plain_jobs import plain_data

from cloudtune import api
from cloudtune.errors import ConfigError, RunBusy, RunNotFound, StoreError
from cloudtune.spec.job import TuningJob
from cloudtune.store.database import SCHEMA_VERSION, open_store
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store


def record(run_id: str, created: float = 1.0) -> RunRecord:
    return RunRecord(id=run_id, name="n", provider="local", profile="local", job="{}", plan="{}", created=created)


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return Store(tmp_path).create(record("a-run"))


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    full = RunRecord(
        id="x-1", name="näme", provider="local", profile="p", job='{"a":1}', plan="{}", state=RunState.RUNNING,
        reason="because", created=1.5, started=2.5, ended=None, elapsed=3.25, native={"seed": "7"},
    )  # fmt: skip
    Store(tmp_path).create(full)
    assert Store(tmp_path).run("x-1").record() == full


def test_a_trial_is_read_back_as_it_was_written(run: RunStore) -> None:
    trial = Trial(
        3, {"x": 0.1, "k": None, "b": True, "s": "ünï\"'", "i": 2**53}, TrialState.FAILED,
        {"loss": float("inf"), "acc": 0.25}, "why", 2, 1.0, 2.0, "trials/3",
    )  # fmt: skip
    run.write(trials=[trial])
    assert run.trial(3) == trial
    assert run.trials() == [trial]
    assert type(run.trial(3).parameters["b"]) is bool
    assert run.trial(4) is None


def test_runs_are_found_by_prefix_and_as_the_latest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for run_id, created in (("job-aa11", 1.0), ("job-ab22", 3.0), ("other", 2.0)):
        store.create(record(run_id, created))
    assert store.run("job-aa").id == "job-aa11"
    assert store.run("latest").id == "job-ab22"
    assert [each.id for each in store.records()] == ["job-ab22", "other", "job-aa11"]
    with pytest.raises(RunNotFound, match="2 runs begin with 'job-'"):
        store.run("job-")
    with pytest.raises(RunNotFound, match="no run 'job%'"):
        store.run("job%")


def test_a_folder_without_runs_says_so_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="ls --all-projects"):
        Store(tmp_path).run("latest")
    assert Store(tmp_path).records() == []
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_is_written_whole_or_not_at_all(run: RunStore) -> None:
    run.write(trials=[Trial(0, {})])
    with pytest.raises(TypeError):
        run.write(
            trials=[Trial(0, {}, TrialState.RUNNING)],
            reports=[Report(0, 1, 1, 1.0, {"bad": object()})],  # type: ignore[dict-item]
        )
    assert run.trial(0).state is TrialState.WAITING
    run.write(trials=[Trial(0, {}, TrialState.RUNNING)])
    assert run.trial(0).state is TrialState.RUNNING


def test_watchers_see_only_what_changed_since_they_looked(run: RunStore) -> None:
    run.write(trials=[Trial(number, {}) for number in range(5)])
    revision, trials = run.changes(0)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    run.write(trials=[Trial(2, {}, TrialState.RUNNING)])
    revision, trials = run.changes(revision)
    assert [(trial.number, trial.state) for trial in trials] == [(2, TrialState.RUNNING)]
    assert run.changes(revision) == (revision, [])


def test_history_has_the_trials_in_the_order_of_their_last_change(run: RunStore) -> None:
    run.write(trials=[Trial(0, {}), Trial(1, {}), Trial(2, {})])
    run.write(trials=[Trial(1, {}, TrialState.COMPLETED)])
    run.write(trials=[Trial(0, {}, TrialState.COMPLETED)])
    assert [trial.number for trial in run.history()] == [2, 1, 0]


def test_reports_come_back_in_order_and_can_be_forgotten(run: RunStore) -> None:
    reports = [Report(number % 2, 1, number, float(number), {"a": number / 3}) for number in range(10)]
    run.write(reports=reports)
    assert list(run.reports()) == reports
    assert list(run.reports(1)) == [report for report in reports if report.number == 1]
    run.forget_reports(1, 1)
    assert list(run.reports()) == [report for report in reports if report.number == 0]


def test_only_one_process_drives_a_run(tmp_path: Path, run: RunStore) -> None:
    assert not run.driven
    with run.locked():
        other = Store(tmp_path).run("a-run")
        assert other.driven
        with pytest.raises(RunBusy, match="a-run"), other.locked():
            pytest.fail("two drivers at once")
    assert not run.driven


def _hold_the_lock(project: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with Store(project).run("a-run").locked():
        ready.set()
        time.sleep(60)


def test_a_file_system_without_locks_is_refused_for_driving_and_looked_at_all_the_same(
    run: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("cloudtune.store.store.lock_soon", none)
    monkeypatch.setattr("cloudtune.store.store.try_lock", none)
    said = "has no file locks (No locks available), so that two could drive one run; keep the project elsewhere"
    with pytest.raises(StoreError, match=re.escape(said)), run.locked():
        raise AssertionError("it is not driven")
    run.lock.touch()
    assert not run.driven


def test_who_looks_whether_a_run_is_driven_keeps_no_driver_away(tmp_path: Path, run: RunStore) -> None:
    done = threading.Event()

    def look() -> None:
        other = Store(tmp_path).run("a-run")
        while not done.is_set():
            _ = other.driven

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(200):
            with run.locked():
                pass
    finally:
        done.set()
        looking.join()


def test_the_lock_of_a_killed_driver_is_free(tmp_path: Path, run: RunStore) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    driver = context.Process(target=_hold_the_lock, args=(tmp_path, ready))
    driver.start()
    assert ready.wait(100)
    assert run.driven
    driver.kill()
    driver.join()
    assert not run.driven


def test_others_read_and_write_while_one_writes(tmp_path: Path, run: RunStore) -> None:
    def write(offset: int) -> None:
        other = Store(tmp_path).run("a-run")
        for number in range(100):
            other.write(trials=[Trial(offset + number, {"x": number})])
        other.store.close()

    writers = [threading.Thread(target=write, args=(offset,)) for offset in (0, 1000)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        run.counts()
    assert run.counts() == {"waiting": 200}
    revisions = run.store.database.execute("SELECT count(DISTINCT revision) FROM trials").fetchone()
    assert revisions == (200,)


def test_processes_that_create_a_store_at_once_wait_for_each_other(tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def create(number: int) -> None:
        together.wait()
        open_store(tmp_path / str(number) / "store.db").close()

    with ThreadPoolExecutor(3) as threads:
        for number in range(80):  # of which about one in ten had failed
            assert list(threads.map(create, [number] * 3)) == [None] * 3


def test_a_store_of_a_newer_cloudtune_is_refused(tmp_path: Path, run: RunStore) -> None:
    run.store.database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="upgrade cloudtune"):
        Store(tmp_path).records()


def test_a_damaged_schema_that_is_no_text_is_damage_too(tmp_path: Path, run: RunStore) -> None:
    run.store.close()
    store = tmp_path / ".cloudtune" / "store.db"
    content = store.read_bytes()
    assert content.count(b"CREATE TABLE trials (") == 1
    store.write_bytes(content.replace(b"CREATE TABLE trials (", b"CREATE \xbbABLE trials ("))
    with pytest.raises(StoreError, match=r"store\.db is damaged"):
        Store(tmp_path).records()


def test_a_damaged_store_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / ".cloudtune").mkdir()
    (tmp_path / ".cloudtune" / "store.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"store\.db"):
        Store(tmp_path).records()


def test_a_full_disk_is_an_error_and_what_was_committed_stays(run: RunStore) -> None:
    run.write(trials=[Trial(0, {})])
    pages = run.store.database.execute("PRAGMA page_count").fetchone()[0]
    run.store.database.execute(f"PRAGMA max_page_count = {pages}")  # sqlite's own way to a full disk
    with pytest.raises(StoreError, match="full"):
        run.write(trials=[Trial(number, {"text": "x" * 4000}) for number in range(1, 100)])
    assert [trial.number for trial in run.trials()] == [0]


def test_nothing_but_reading_all_reports_scans_them(tmp_path: Path) -> None:
    """What a run of thousands of trials needs again and again, costs a few of SQLite's instructions a row that it is about."""
    run = Store(tmp_path).create(record("big"))
    run.write(trials=[Trial(number, {"x": number / 7}, TrialState.COMPLETED, {"a": 1.0}) for number in range(1000)])
    run.write(reports=[Report(number, 1, step, 1.0, {"a": 0.5}) for number in range(1000) for step in range(100)])
    count = itertools.count()
    run.store.database.set_progress_handler(lambda: next(count) and None, 100)
    assert len(run.trials()) == 1000
    assert len(list(run.reports(500))) == 100
    assert run.counts() == {"completed": 1000}
    run.write(trials=[Trial(1000, {})], reports=[Report(1000, 1, 1, 1.0, {"a": 1.0})])
    few = next(count)
    assert len(list(run.reports())) == 100_001
    assert 10 < few < next(count) / 10


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_a_store_that_nobody_has_any_more_is_closed_at_once(tmp_path: Path, run: RunStore) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.disable()
    try:
        before = opened()
        for _ in range(10):
            assert Store(tmp_path).records()
        assert opened() - before < 10
    finally:
        gc.enable()


def test_the_store_keeps_itself_out_of_version_control(tmp_path: Path, run: RunStore) -> None:
    assert (tmp_path / ".cloudtune" / ".gitignore").read_text() == "*\n"
    assert isinstance(run.store.database, sqlite3.Connection)


def test_a_reason_with_bytes_that_are_no_text_is_kept_readable(run: RunStore) -> None:
    run.write(trials=[Trial(0, {}, reason="no file b\udcff")], events=[(0, "b\udcff")])
    assert run.trials()[0].reason == "no file b\\udcff"
    assert run.events()[0][2] == "b\\udcff"


def test_moments_and_repetitions_are_kept_and_unknown_in_stores_of_before(run: RunStore, monkeypatch) -> None:
    run.write(trials=[Trial(7, {"x": 1}, asked=3, told=5, repeat_of=2)], reports=[Report(7, 1, 1, 1.0, {"a": 1.0}, 4)])
    found, reported = run.trials()[0], next(run.reports())
    assert (found.asked, found.told, found.repeat_of, reported.moment) == (3, 5, 2, 4)
    run.store.close()
    lower(run.path, 4)
    for name in ("trial_columns", "report_columns"):
        del run.store.__dict__[name]
    with monkeypatch.context() as patch:
        patch.setattr("cloudtune.store.database.is_writable", lambda path: False)
        found, reported = run.trials()[0], next(run.reports())
    assert (found.asked, found.told, found.repeat_of, reported.moment) == (None, None, None, 0)
    run.store.close()
    for name in ("trial_columns", "report_columns"):
        del run.store.__dict__[name]
    run.write(trials=[Trial(8, {"x": 1}, asked=1)], reports=[Report(8, 1, 1, 1.0, {"a": 1.0}, 2)])
    assert [(trial.number, trial.asked) for trial in run.trials()] == [(7, None), (8, 1)]
    assert [report.moment for report in run.reports()] == [0, 2]


JOB = TuningJob.from_data(plain_data(name="a", limits={"trials": 1}))


@pytest.mark.parametrize("run_id", ["../../keep", "..", ".", "a/../../../keep", "/keep", "a\0b", "latest", "-x"])
def test_an_id_that_is_no_name_of_a_folder_is_refused_before_anything_is_made_or_removed(
    tmp_path: Path, run_id: str
) -> None:
    project, keep = tmp_path / "project", tmp_path / "keep"
    for folder in (project, keep):
        folder.mkdir()
    (keep / "file").write_text("precious")
    api.prepare(JOB, project=project, run_id="other")
    given = run_id.replace("/keep", str(keep)) if run_id == "/keep" else run_id
    with pytest.raises(ConfigError, match="cannot be the id of a run"):
        api.prepare(JOB, project=project, run_id=given)
    assert (keep / "file").read_text() == "precious"
    assert RunStore(Store(project), "other").folder.exists()
    assert [record.id for record in Store(project).records()] == ["other"]


def test_the_beginning_of_a_runs_id_is_the_id_of_another(tmp_path: Path) -> None:
    assert [api.prepare(JOB, project=tmp_path, run_id=each).id for each in ("night-12", "night-1", "night-12")] == [
        "night-12",
        "night-1",
        "night-12",
    ]


def test_a_damaged_id_removes_no_folder_elsewhere(tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    keep.mkdir()
    store = Store(tmp_path / "project")
    assert store.database
    RunStore(store, "../../../keep").remove()
    assert keep.exists()


def test_an_empty_id_such_as_an_unset_variable_is_that_of_no_run(tmp_path: Path) -> None:
    api.prepare(JOB, project=tmp_path, run_id="only")
    assert Store(tmp_path).run("on").id == "only"
    with pytest.raises(RunNotFound, match="there is no run ''"):
        Store(tmp_path).run("")


def test_a_run_is_read_and_written_by_any_thread(run: RunStore) -> None:
    run.write(trials=[Trial(0, {"x": 1})])
    with ThreadPoolExecutor(1) as other:
        made = other.submit(lambda: Store(run.store.project).run(run.id)).result()
        other.submit(made.write, trials=[Trial(1, {"x": 2})]).result()
        assert [trial.number for trial in made.trials()] == [0, 1]
        assert other.submit(lambda: [trial.number for trial in run.trials()]).result() == [0, 1]
    assert len(made.trials()) == 2, "though the thread that made it has ended"


def test_a_copy_of_a_run_opens_the_store_anew(run: RunStore) -> None:
    run.write(trials=[Trial(0, {"x": 1})])
    for other in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        assert other.store is not run.store
        assert len(other.trials()) == 1


def test_whatever_a_program_reports_can_be_kept(run: RunStore) -> None:
    odd = [(10**30, 1.0), (-(10**30), math.inf), (1, math.nan)]
    reports = [Report(0, 1, step, moment, {"a\ud800": 1.0}) for step, moment in odd]
    run.write(trials=[Trial(0, {"x": 1}, metrics={"a\ud800": 1.0})], reports=reports)
    found = list(run.reports())
    assert [report.step for report in found] == [2**63 - 1, 1 - 2**63, 1]
    assert all(math.isfinite(report.time) for report in found)
    assert [report.metrics for report in found] == [{"a?": 1.0}] * 3
    assert run.trials()[0].metrics == {"a?": 1.0}
