"""Logs on the live page: the last lines, followed, bounded, and without the values of the job's environment."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_pages import Client, served, stored_run

from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.store.secrets import keep_environment
from cloudtune.store.store import RunStore
from cloudtune.ui import log_tail

RUN = "digits-1a2b"


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return stored_run(tmp_path, trials=1, state=RunState.RUNNING)


def log_of(run: RunStore, lines: list[str], state: TrialState) -> Path:
    """Have trial 0 be in a state, with a log of these lines."""
    from cloudtune.process.setting import TrialFiles

    trial = Trial(0, {"C": 1.0}, state, {}, attempt=1, started=time.time(), place="trials/00000")
    path = Path(TrialFiles(str(run.folder / trial.place), 1).log)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    run.write(trials=[trial])
    return path


@pytest.fixture
def client(run: RunStore) -> Iterator[Client]:
    with served(run.store.project) as found:
        yield found


def lines_of(client: Client, many: int) -> list[str]:
    found: list[str] = []
    with client.stream(("log", RUN), ("trial", "0")) as events:
        while len(found) < many:
            kind, _, data = next(events)
            found += data["lines"] if kind == "log" else []
    return found


def test_what_a_trial_prints_is_followed_from_where_the_page_was(client: Client, run: RunStore) -> None:
    path = log_of(run, ["one", "two"], TrialState.RUNNING)
    with client.stream(("log", RUN), ("trial", "0")) as events:
        _, last, data = next(event for event in events if event[0] == "log" and event[2]["lines"])
        assert data["lines"] == ["one", "two"]
    with path.open("a") as file:
        file.write("three\n")
    with client.stream(("log", RUN), ("trial", "0"), last=last) as events:
        _, _, data = next(event for event in events if event[0] == "log")
        assert data["lines"] == ["three"]


def test_of_a_long_log_the_last_lines_are_sent_and_long_lines_are_cut(client: Client, run: RunStore) -> None:
    log_of(run, [*(f"line {number}" for number in range(5000)), "x" * 9000], TrialState.COMPLETED)
    with client.stream(("log", RUN), ("trial", "0")) as events:
        assert any(data["over"] for kind, _, data in events if kind == "log")  # all has been read
    with client.stream(("log", RUN), ("trial", "0")) as events:
        found, left_out = next((data["lines"], data["left_out"]) for kind, _, data in events if kind == "log")
    assert (len(found), left_out) == (log_tail.MAX_LINES, 5001 - log_tail.MAX_LINES)
    assert found[-2] == "line 4999"
    assert len(found[-1]) == log_tail.MAX_LENGTH + 1


def test_secrets_that_a_trial_prints_are_masked(client: Client, run: RunStore) -> None:
    keep_environment(run, {"TOKEN": "correct-horse-battery"})
    log_of(run, ["my token is correct-horse-battery", "Authorization: Bearer abcdefghijklmnopqrst"], TrialState.RUNNING)
    assert lines_of(client, 2) == ["my token is ***", "Authorization: Bearer ***"]


def test_a_log_that_nobody_reads_is_left(run: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    log_of(run, ["one"], TrialState.RUNNING)
    monkeypatch.setattr(log_tail, "_PATIENCE", 0.2)
    tail = log_tail.LogTail(run.store.project, RUN, 0)
    until = time.monotonic() + 20
    while not tail.over and time.monotonic() < until:
        time.sleep(0.02)
    assert tail.over
    assert json.dumps(tail.since(0)["lines"]) == '["one"]'


def test_a_trial_that_is_not_there_is_told(client: Client) -> None:
    with client.stream(("log", RUN), ("trial", "77")) as events:
        _, _, data = next(event for event in events if event[0] == "log")
    assert "no trial 77" in data["problem"]
    assert data["over"] is True
