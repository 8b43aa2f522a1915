"""What only shows a run, or looks at it, cannot end it: displays, watchers, terminals, pipes and full disks."""

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from places import Place, place_of

from cloudtune import TuningJob, api, tune
from cloudtune.looking.progress import display
from cloudtune.looking.words import brief_parameters
from cloudtune.results.progress import Progress
from cloudtune.store.records import RunState, Trial, TrialState

SCRIPT = """
    import pathlib, time
    import cloudtune.trial as trial
    trial.report(loss=trial.params()["x"])
    while trial.number() >= {free} and not pathlib.Path({go!r}).exists():
        time.sleep(0.02)
"""


def write_job(folder: Path, *, trials: int = 4, free: int = 99) -> TuningJob:
    """A job whose trials from a number on wait until there is a file `go`."""
    (folder / "train.py").write_text(textwrap.dedent(SCRIPT).format(go=str(folder / "go"), free=free))
    job = TuningJob.from_data(
        {
            "name": "seen",
            "trial": {"source": ".", "command": "python train.py"},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 1},
            "limits": {"trials": trials, "parallel": 2},
        }
    )
    (folder / "job.yaml").write_text(job.to_yaml())
    return job


def cloudtune(*words: str) -> list[str]:
    return [sys.executable, "-m", "cloudtune", *words]


def started(folder: Path, *words: str, **streams: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(cloudtune(*words), cwd=folder, **streams)


def wait_until(true: Callable[[], object]) -> None:
    waiting = threading.Event()
    for _ in range(6000):
        if true():
            return
        waiting.wait(0.01)
    pytest.fail("it did not come to that within a minute")


def running(folder: Path) -> list[Trial]:
    """The running trials that have reported something, so that they have begun for sure."""
    if not api.runs(project=folder):
        return []
    run = api.attach(project=folder)
    return [trial for trial in run.trials() if trial.state is TrialState.RUNNING and list(run.reports(trial.number))]


def events(folder: Path) -> list[str]:
    return [message for _, _, message in api.attach(project=folder).events()]


def check_complete(folder: Path, trials: int = 4, *, dropped: bool = True) -> None:
    run = api.attach(project=folder)
    assert run.state is RunState.COMPLETED
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * trials
    assert sum("display was dropped" in message for message in events(folder)) == int(dropped), events(folder)


# Streams that take nothing


@pytest.mark.parametrize(
    "which",
    [pytest.param("stdout", marks=pytest.mark.complete), pytest.param("stderr", marks=pytest.mark.complete), "both"],
)
def test_a_reader_that_leaves_ends_no_run(tmp_path: Path, which: str) -> None:
    write_job(tmp_path, free=1)
    reading, writing = os.pipe()
    devnull = subprocess.DEVNULL
    streams = {name: writing if which in (name, "both") else devnull for name in ("stdout", "stderr")}
    process = started(tmp_path, "run", "job.yaml", **streams)
    os.close(writing)
    if which != "stdout":
        assert os.read(reading, 10)
    os.close(reading)
    (tmp_path / "go").touch()
    assert process.wait(60) == 0
    check_complete(tmp_path, dropped=which != "stdout")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("which", ["stdout", pytest.param("stderr", marks=pytest.mark.complete)])
def test_a_full_disk_below_the_output_ends_no_run(tmp_path: Path, which: str) -> None:
    write_job(tmp_path)
    with Path("/dev/full").open("wb") as full:
        process = started(
            tmp_path, "run", "job.yaml", **{"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, which: full}
        )
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    if which == "stdout":
        assert said.endswith(b"error: the result cannot be printed: No space left on device\n")
    check_complete(tmp_path, dropped=which == "stderr")


@pytest.mark.parametrize(
    "closed",
    [pytest.param(">&-", marks=pytest.mark.complete), pytest.param("2>&-", marks=pytest.mark.complete), "<&- >&- 2>&-"],
)
def test_streams_that_were_closed_before_the_start_end_no_run(tmp_path: Path, closed: str) -> None:
    write_job(tmp_path)
    command = " ".join([sys.executable, "-m", "cloudtune", "run", "job.yaml", closed])
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, timeout=60, capture_output=True).returncode == 0
    check_complete(tmp_path, dropped=False)


def test_the_exit_code_is_the_runs_whatever_becomes_of_the_output(tmp_path: Path) -> None:
    write_job(tmp_path)
    (tmp_path / "train.py").write_text("raise SystemExit(3)")
    reading, writing = os.pipe()
    process = started(tmp_path, "run", "job.yaml", "--json", stdout=writing, stderr=writing)
    os.close(reading)
    os.close(writing)
    assert process.wait(60) == 1


def test_the_drivers_own_log_may_be_on_a_full_disk(tmp_path: Path) -> None:
    run = api.prepare(write_job(tmp_path), project=tmp_path, base=tmp_path)
    (run.folder / "driver.log").symlink_to("/dev/full")
    run.start()
    assert run.wait() is RunState.COMPLETED
    check_complete(tmp_path, dropped=False)


# Terminals


def on_a_terminal(folder: Path, *words: str) -> tuple["subprocess.Popen[bytes]", int]:
    """Starts a command with a terminal of its own; returns it and our end of the terminal."""
    ours, theirs = pty.openpty()
    take = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", take, *cloudtune(*words)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    return process, ours


def read_all(ours: int) -> threading.Thread:
    """Reads a terminal, so that nobody waits for it; until it is closed."""

    def read() -> None:
        try:
            while os.read(ours, 1 << 16):
                pass
        except OSError:
            return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def test_a_terminal_that_is_closed_interrupts_the_run_and_a_resume_goes_on(tmp_path: Path) -> None:
    write_job(tmp_path, free=1)
    process, ours = on_a_terminal(tmp_path, "run", "job.yaml")
    wait_until(lambda: running(tmp_path) or process.poll() is not None)
    os.close(ours)
    assert process.wait(60) == 130
    run = api.attach(project=tmp_path)
    assert run.state is RunState.INTERRUPTED
    assert "its terminal was closed (SIGHUP)" in run.record.reason
    assert not [trial for trial in run.trials() if trial.state is TrialState.FAILED]
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED


def test_a_closed_terminal_is_no_matter_where_its_signal_is_ignored(tmp_path: Path) -> None:
    """As `nohup` has it: the display alone is lost."""
    write_job(tmp_path, free=1)
    take = "import signal, os, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", take, *cloudtune("run", "job.yaml", "--quiet")], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    wait_until(lambda: running(tmp_path))
    process.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    assert process.wait(60) == 0
    check_complete(tmp_path, dropped=False)


def test_ctrl_c_in_a_terminal_that_only_watches_ends_the_watching_alone(tmp_path: Path) -> None:
    run = api.prepare(write_job(tmp_path, free=1), project=tmp_path, base=tmp_path)
    run.start()
    wait_until(lambda: running(tmp_path))
    watching = started(tmp_path, "resume", run.id, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watching.stderr is not None
    assert run.id.encode() in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert f"stopped watching; {run.id} goes on".encode() in said
    assert run.state is RunState.RUNNING
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED
    assert not any("interrupted" in message for message in events(tmp_path))


def test_an_interrupted_run_says_once_that_it_is_interrupted_and_by_what(tmp_path: Path) -> None:
    write_job(tmp_path, free=1)
    process = started(tmp_path, "run", "job.yaml", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: running(tmp_path))
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    run = api.attach(project=tmp_path)
    assert said.decode().splitlines()[0] == f"interrupted: by SIGTERM; `cloudtune resume {run.id}` goes on with it"
    assert said.decode().count("cloudtune resume") == 1
    assert events(tmp_path)[-1] == said.decode().splitlines()[0]


# Watchers and displays in this process


class Broken:
    """A watcher that raises when it is told for the first time, after it has called another function."""

    def __init__(self, error: BaseException, then: Callable[[], object] = lambda: None) -> None:
        self.error, self.then = error, then
        self.calls = 0

    def __call__(self, _progress: Progress) -> None:
        self.calls += 1
        self.then()
        raise self.error


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_of("vertex", tmp_path_factory.mktemp("vertex")) as place, pytest.MonkeyPatch.context() as patches:
        for name, value in place.environment.items():
            patches.setenv(name, value)
        yield place


@pytest.mark.parametrize(
    "how", ["driven here", pytest.param("driven elsewhere", marks=pytest.mark.complete), "managed"]
)
def test_a_watcher_that_raises_is_dropped_and_heard_of_at_the_end(
    how: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where: dict[str, Any] = {"project": tmp_path}
    if how == "managed":
        service = request.getfixturevalue("service")
        where = {"on": service.on, "project": service.project}
    elsewhere = how == "driven elsewhere"
    run = api.prepare(write_job(tmp_path, free=1 if elsewhere else 99), base=tmp_path, **where)
    if elsewhere:  # there is something to watch until the watcher was called
        run.start()
    watcher = Broken(ZeroDivisionError("mine"), then=(tmp_path / "go").touch)
    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        run.wait(watcher)
    assert watcher.calls == 1
    assert "the run went on and is completed" in raised.value.__notes__[0]
    assert run.record.state is RunState.COMPLETED
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4
    assert [message for _, _, message in run.events() if "watcher was dropped" in message] == [
        "its watcher was dropped (ZeroDivisionError: mine); the run goes on without it"
    ]


def test_tune_raises_what_its_watcher_raised_when_all_is_done(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        tune(
            lambda x: x,
            {"x": {"type": "float", "low": 0, "high": 1}},
            minimize="loss",
            trials=5,
            strategy="random",
            project=tmp_path,
            watcher=Broken(ZeroDivisionError()),
        )
    check_complete(tmp_path, 5, dropped=False)


@pytest.mark.parametrize("wish", [KeyboardInterrupt(), SystemExit(2)])
def test_a_watcher_that_wants_the_end_interrupts_the_run(tmp_path: Path, wish: BaseException) -> None:
    run = api.prepare(write_job(tmp_path), project=tmp_path, base=tmp_path)
    with pytest.raises(type(wish)):
        run.wait(Broken(wish))
    assert run.record.state is RunState.INTERRUPTED
    assert not [trial for trial in run.trials() if trial.state is TrialState.FAILED]
    assert run.wait() is RunState.COMPLETED


@pytest.mark.parametrize("moment", ["__enter__", "__call__", "__exit__"])
def test_a_display_that_raises_is_dropped_once(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cloudtune.looking import progress

    def broken(*_: object) -> None:
        raise RuntimeError("no such colour")

    monkeypatch.setattr(progress._Lines, moment, broken)
    notes: list[str] = []
    with display("title", [], quiet=False, note=notes.append) as shown:
        for _ in range(3):
            shown(Progress(RunState.RUNNING, {}, 3, None, 1.0, None))
    assert notes == ["its display was dropped (RuntimeError: no such colour); the run goes on without it"]


def test_the_display_shows_few_digits_and_json_shows_all(tmp_path: Path) -> None:
    assert (
        brief_parameters(Trial(0, {"x": 0.123456789, "n": 12345678, "k": "a", "b": True}))
        == "x=0.1235 n=12345678 k=a b=true"
    )
    write_job(tmp_path)
    process = subprocess.run(
        cloudtune("run", "job.yaml", "--json"), cwd=tmp_path, capture_output=True, timeout=60, text=True, check=True
    )
    x = json.loads(process.stdout)["best"]["parameters"]["x"]
    assert f"x={x:.4g})" in process.stderr
    assert x != float(f"{x:.4g}")


def test_what_follows_a_log_is_none_of_the_runs_business(tmp_path: Path) -> None:
    write_job(tmp_path, free=1)
    (tmp_path / "train.py").write_text("print('line', flush=True)\n" + (tmp_path / "train.py").read_text())
    run = api.prepare(TuningJob.from_yaml((tmp_path / "job.yaml").read_text()), project=tmp_path, base=tmp_path)
    run.start()
    wait_until(lambda: running(tmp_path))
    following = started(tmp_path, "logs", run.id, "1", "--follow", stdout=subprocess.PIPE)
    assert following.stdout is not None
    assert following.stdout.readline() == b"line\n"
    following.stdout.close()
    (tmp_path / "go").touch()
    assert following.wait(60) == 0
    assert run.wait() is RunState.COMPLETED
    check_complete(tmp_path, dropped=False)
