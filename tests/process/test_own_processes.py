"""What a run leaves behind is found, and nothing else is taken for it."""

import os
import subprocess
import time
from collections.abc import Iterator

import own_processes
import pytest
from own_processes import OwnProcesses, command_of


@pytest.fixture
def own() -> OwnProcesses:
    own = OwnProcesses()
    assert own.of_runs() == []
    return own


@pytest.fixture
def cat() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={**os.environ, "CLOUDTUNE_RUN": "left"}) as process:
        yield process
        process.kill()


def test_a_process_of_a_run_is_found_as_long_as_it_lives(own: OwnProcesses, cat: subprocess.Popen[bytes]) -> None:
    assert [own.of_runs(), own.of_runs()] == [[cat.pid], [cat.pid]]
    assert command_of(cat.pid) == "cat "
    cat.kill()
    cat.wait()
    assert own.of_runs() == []


def test_a_process_of_no_run_and_one_of_another_test_process_are_not(own: OwnProcesses) -> None:
    for changed in ({}, {"CLOUDTUNE_RUN": "theirs", "CLOUDTUNE_TEST_WORKER": "1"}):
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={**os.environ, **changed}) as process:
            assert own.of_runs() == []
            process.kill()


def test_an_id_that_the_system_gives_again_is_looked_at_again(own: OwnProcesses, cat: subprocess.Popen[bytes]) -> None:
    own._strangers[str(cat.pid)] = -60.0  # as if it had been another process, a minute ago
    assert own.of_runs() == []
    own._newest += 2**22
    assert own.of_runs() == [cat.pid]


def test_there_is_no_look_where_nothing_was_started_since_the_last(
    own: OwnProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(own_processes.os, "listdir", lambda path: looks.append(path) or [])
    monkeypatch.setattr(own_processes, "_last_start", [time.monotonic() - 60.0])
    own.of_runs()
    assert looks == []
    subprocess.run(["true"], check=True)
    own.of_runs()
    own.of_runs()  # what has just begun may not yet have become its program
    assert looks == ["/proc"] * 2
