"""Which trials a task runs, and which batches get tasks of their own: no Slurm needed."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloudtune.process.groups import start_ticks
from cloudtune_slurm import agent, commands, orders, supply
from cloudtune_slurm.claims import claim, starts_of
from cloudtune_slurm.commands import _as_arrays
from cloudtune_slurm.orders import Turns, open_batch
from cloudtune_slurm.supply import Supply
from cloudtune_slurm.task import Task, _send_spawn, files_of
from cloudtune_slurm.tasks import Batch


@pytest.fixture
def batch(tmp_path: Path) -> Callable[..., Path]:
    """Writes a batch of trials of some numbers."""

    def write(
        name: str, numbers: range, *, per_task: int | None = None, share: float = 60.0, opened: bool = True
    ) -> Path:
        path = tmp_path / f"{name}.json"
        shared = {"per_task": per_task, "share": share}
        path.write_text(json.dumps({"shared": shared, "orders": [{"number": number} for number in numbers]}))
        if opened and per_task is None:
            open_batch(tmp_path, name)
        return path

    return write


@pytest.fixture(autouse=True)
def _no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "LINGER", 0.0)


def taken(path: Path, index: int, *, seconds: float = 1.0, claimed: set[int] | None = None) -> list[int]:
    """The trials that a task runs, each for so many seconds, where others have claimed some."""
    claimed = set() if claimed is None else claimed
    turns, ran = Turns(path, index, lambda: False), []
    for _, order in turns.offers():
        if order["number"] not in claimed:
            claimed.add(order["number"])
            ran.append(order["number"])
            turns.ran(seconds)
    return ran


def test_a_task_takes_its_own_trial_and_then_those_that_nobody_has(batch: Callable[..., Path]) -> None:
    path = batch("b", range(5))
    claimed: set[int] = {4}
    assert taken(path, 2, claimed=claimed) == [2, 3, 0, 1]
    assert taken(path, 3, claimed=claimed) == []


def test_a_task_goes_on_with_later_batches_and_not_with_earlier_ones(batch: Callable[..., Path]) -> None:
    batch("a", range(2))
    path = batch("b", range(2, 4))
    batch("c", range(4, 6))
    batch("private", range(6, 8), opened=False)
    assert taken(path, 0) == [2, 3, 4, 5]


def test_a_task_whose_own_batch_is_not_open_yet_takes_what_is_opened_from_then_on(
    batch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch("a", range(2))
    path = batch("b", range(2, 3), opened=False)
    monkeypatch.setattr(orders, "LINGER", 60.0)
    turns = Turns(path, 0, lambda: False)
    offers = turns.offers()
    assert next(offers)[1] == {"number": 2}
    turns.ran(59.0)
    monkeypatch.setattr("time.sleep", lambda _: batch("c", range(3, 4)))
    assert next(offers)[1] == {"number": 3}


def test_trials_too_long_to_share_have_tasks_of_their_own(batch: Callable[..., Path]) -> None:
    path = batch("b", range(9))
    batch("c", range(9, 12))
    assert taken(path, 4, seconds=61.0) == [4]
    assert taken(path, 4, seconds=59.0, claimed={4}) == [5, 6, 7, 8, 0, 1, 2, 3, 9, 10, 11], "no time passes here"


def test_a_job_says_how_many_trials_a_task_runs(batch: Callable[..., Path]) -> None:
    assert taken(batch("one", range(4), per_task=1), 2, claimed={2}) == []
    path, claimed = batch("three", range(9), per_task=3), {4}
    assert taken(path, 1, claimed=claimed) == [3, 5, 6]
    assert taken(path, 2, claimed=claimed) == [7, 8, 0]


def test_a_task_that_slurm_asks_to_end_takes_no_more(batch: Callable[..., Path]) -> None:
    over: list[bool] = []
    turns = Turns(batch("b", range(4)), 0, lambda: bool(over))
    offers = turns.offers()
    next(offers)
    turns.ran(1.0)
    over.append(True)
    assert list(offers) == []


def test_names_of_tasks_are_one_word_for_each_array() -> None:
    assert _as_arrays(["--name=x"]) == ["--name=x"]
    assert _as_arrays(["12_9", "12_4", "7_0", "12_5", "12_6"]) == ["12_[4-6,9]", "7_[0]"]


class Cluster:
    """What a supply needs of a queue and a site: it notes what they are asked."""

    def __init__(self, per_task: int | None) -> None:
        self.submitted: list[Any] = []
        self.offered: list[Any] = []
        self.cancelled: list[set[str]] = []
        self.held: list[Any] = []
        self.pending = 0
        briefing = SimpleNamespace(per_task=per_task, share=120.0, array=lambda tasks: f"--array=0-{tasks - 1}")
        self.supply = Supply(self, self, briefing)  # type: ignore[arg-type]

    def add(self, batch: Any) -> None:
        self.submitted.append(batch)
        self.pending += batch.tasks

    def holds(self, batch: Any) -> bool:
        return batch in self.held

    def call(self, request: dict[str, Any]) -> None:
        self.offered.append(request["offer"]["name"])

    def tolerated(self) -> Any:
        return contextlib.nullcontext()

    def cancel_pending(self, but: set[str]) -> None:
        self.cancelled.append(but)


def of(name: str, count: int) -> tuple[Any, list[Any]]:
    made = Batch(name, {"name": name, "content": {}, "options": ["--array=0-9", "--job-name=x"]}, tasks=count)
    return made, [SimpleNamespace(batch=made, starts=[], slurm_name="") for _ in range(count)]


def test_the_first_batch_and_those_of_long_trials_are_submitted() -> None:
    cluster = Cluster(None)
    (first, tasks), (second, more) = of("a", 3), of("b", 2)
    cluster.supply.bring(first, tasks)
    for task in tasks:
        task.starts = [{}]
    cluster.supply.ended(61.0)
    cluster.supply.bring(second, [*tasks, *more])
    assert cluster.submitted == [first, second]
    assert not cluster.offered


def test_later_batches_of_short_trials_are_offered_first_and_submitted_for_those_that_nobody_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(None)
    (first, running), (second, more) = of("a", 3), of("b", 4)
    cluster.supply.bring(first, running)
    for task in running:
        task.starts = [{}]
    cluster.pending = 0
    cluster.supply.ended(1.0)
    cluster.supply.bring(second, [*running, *more])
    assert (cluster.submitted, cluster.offered) == ([first], ["b"])
    cluster.supply.tend([*running, *more])
    assert cluster.submitted == [first], "they have a moment"
    monkeypatch.setattr(supply, "WAIT", -1.0)
    more[0].starts = [{}]
    cluster.pending = 3
    cluster.supply.tend([*running, *more])
    assert cluster.submitted == [first], "three tasks wait that can take the three that are left"
    cluster.pending = 2
    cluster.supply.tend([*running, *more])
    assert cluster.submitted == [first, second]
    assert second.content is not None
    assert second.content["options"] == ["--array=0-2", "--job-name=x"]
    cluster.supply.tend([*running, *more])
    assert len(cluster.submitted) == 2
    cluster.supply.fewer(second)
    assert second.content["options"] == ["--array=0-0", "--job-name=x"], "half of what Slurm does not take"
    cluster.held, cluster.pending = [second], 1
    cluster.supply.tend([*running, *more])
    assert len(cluster.submitted) == 3, "Slurm is still to take it"
    cluster.held.clear()
    cluster.supply.tend([*running, *more])
    assert (len(cluster.submitted), second.tasks) == (4, 3), "those that it did not take"
    assert not cluster.cancelled


def test_tasks_that_wait_for_nothing_are_cancelled_but_for_those_that_slurm_starts_again() -> None:
    cluster = Cluster(None)
    _, running = of("a", 2)
    for number, task in enumerate(running):
        task.starts, task.slurm_name = [{}], f"7_{number}"
    cluster.supply.tend(running)
    assert cluster.cancelled == [{"7_0", "7_1"}]


def test_what_the_job_says_is_submitted_as_it_says() -> None:
    cluster = Cluster(3)
    (first, tasks), (second, _) = of("a", 3), of("b", 3)
    for task in tasks:
        task.starts = [{}]
    cluster.supply.ended(1.0)
    cluster.supply.bring(first, tasks)
    cluster.supply.bring(second, tasks)
    cluster.supply.tend(tasks)
    assert cluster.submitted == [first, second]
    assert not cluster.cancelled


def test_looks_come_often_where_trials_are_short_and_cost_little() -> None:
    pause = Cluster(None).supply.pause
    assert pause(1.0, 0.001) == 1.0
    cluster = Cluster(None)
    cluster.supply.ended(0.8)
    assert cluster.supply.pause(1.0, 0.001) == pytest.approx(0.05)
    assert cluster.supply.pause(1.0, 0.02) == pytest.approx(0.4)


def test_a_trial_that_a_task_takes_as_its_driver_gives_it_up_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"outputs": None, "log_size": 4096}
    task = {"number": 0, "attempt": 1, "known": (0, 0), "state": agent.GIVEN_UP, "printed": "batches/b-0.out"}
    request = {"shared": shared, "tasks": [task]}
    (news,) = agent.call(tmp_path, request)["tasks"]
    assert news["ended"]["why"] == "lost"
    assert agent.call(tmp_path, {"shared": shared, "revoke": [(0, 1)]})["revoked"] == [True], "and nobody runs it"
    files = files_of(tmp_path, shared, 1, 1)

    def starts_before_it_is_taken(_files: object) -> list[dict[str, Any]]:
        monkeypatch.setattr(agent, "starts_of", starts_of)
        assert claim(files, "12_0")
        return []

    monkeypatch.setattr(agent, "starts_of", starts_before_it_is_taken)
    (news,) = agent.call(tmp_path, {"shared": shared, "tasks": [{**task, "number": 1}]})["tasks"]
    assert "ended" not in news
    assert [start["task"] for start in news["starts"]] == ["12_0"]


def test_tasks_that_the_driver_cancels_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "call", lambda _words: "")
    (tmp_path / orders.BATCHES).mkdir()
    agent.call(tmp_path, {"cancel": ["12_3", "12_4"]})
    agent.call(tmp_path, {"cancel": ["--name=x"]})
    assert [agent._is_cancelled(tmp_path, name) for name in ("12_3", "12_4", "12_5", "--name=x")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_task_that_was_started_beside_itself_waits_for_the_trial_that_runs_already(tmp_path: Path) -> None:
    shared = {"outputs": None, "log_size": 4096}
    order = {"number": 0, "attempt": 1, "parameters": {}, "argv": ["touch", str(tmp_path / "ran")]}
    files = files_of(tmp_path, shared, 0, 1)
    assert claim(files, "12_0")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        name = f"{other.pid} {start_ticks(other.pid)}"
        record = Path(files.record)
        record.write_text(f"{name}\n{name}\n")
        with ThreadPoolExecutor(1) as beside:
            ran = beside.submit(Task(tmp_path, "12_0", "b", {}).run, shared, order)
            assert wait([ran], timeout=0.2).not_done
            record.write_text(f"{name}\n{name}\n{json.dumps({'status': 0, 'why': '', 'message': '', 'peak': 0})}\n")
            other.communicate()
            assert ran.result(timeout=20) is None
    assert len(starts_of(files)) == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("first", ["program", ""])
def test_an_empty_word_of_a_command_stays_one_and_means_python_at_its_beginning_alone(
    first: str, tmp_path: Path
) -> None:
    shared = {"outputs": None, "log_size": 4096, "work": "w", "seconds": None, "grace": 0}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        order = {"number": 0, "argv": [first, "--kind", ""]}
        _send_spawn(ours, files_of(tmp_path, shared, 0, 1), shared, order)
        request = json.loads(theirs.recv(1 << 16))
    assert request["argv"] == [first or sys.executable, "--kind", ""]
