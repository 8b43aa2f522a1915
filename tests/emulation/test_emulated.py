"""Runs in emulators: they are known as such, end with their emulator, go on in another, and never reach the real service."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import SLOW, job_of

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.driver.listeners import Listener
from cloudtune.errors import ConfigError, EmulatorEnded, TrialError
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

CLOUDS = ("aws", "gcp", "azure")
AT_ONCE = "import cloudtune.trial as t\nprint('hello')\nt.report(score=t.params()['x'])\n"


@pytest.fixture(autouse=True)
def _no_service_is_reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever leaves this machine fails the test, also if the error is swallowed on the way."""
    reached: list[object] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            reached.append(address)
            raise ConnectionRefusedError("no test leaves this machine")
        connect(self, address)

    looked_up = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost", None, ""):
            if "metadata.google.internal" not in str(
                host
            ):  # by which Google's libraries learn whether they are at Google's
                reached.append(host)
            raise socket.gaierror("no test leaves this machine")
        return looked_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield
    assert not reached


def begun(tmp_path: Path, on: str, mode: str, trials: int = 4) -> subprocess.Popen[str]:
    """A command that runs a job in an emulator of its own, and has ended a trial when this returns."""
    (tmp_path / "job.yaml").write_text(
        job_of(tmp_path, SLOW, mode=mode, limits={"trials": trials, "parallel": 1}).to_yaml()
    )
    command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", on, "--emulate", "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def one_has_ended() -> bool:
        assert process.poll() is None, process.stdout and process.stdout.read()
        found = api.runs(project=tmp_path)
        return bool(found) and bool(api.attach(project=tmp_path).counts().get("completed"))

    wait_until(one_has_ended, seconds=120)
    return process


def end(process: subprocess.Popen[str], how: int) -> None:
    process.send_signal(how)
    if how == signal.SIGINT:
        assert process.wait(60) == 130
    process.wait(60)
    assert process.stdout is not None
    process.stdout.close()


def asked(*words: str) -> int:
    return int(run_app(list(words)) or 0)


BY_DEFAULT = (("aws", "driven", signal.SIGINT),)
"""Of where, in which mode and how an emulator ends."""


@pytest.mark.parametrize(
    ("on", "mode", "how"),
    [
        pytest.param(*cell, marks=() if cell in BY_DEFAULT else pytest.mark.complete)
        for cell in itertools.product(CLOUDS, ("driven", "managed"), (signal.SIGINT, signal.SIGKILL))
    ],
)
def test_a_run_whose_emulator_ended_is_looked_at_goes_on_in_another_and_reaches_no_service(
    on: str, mode: str, how: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end(begun(tmp_path, on, mode), how)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    run = api.attach(project=tmp_path)
    assert run.state is RunState.INTERRUPTED
    before = [trial for trial in run.trials() if trial.state is TrialState.COMPLETED]
    assert before
    for words in (["ls"], ["show"], ["trials"], ["best"], ["report"]):
        assert asked(*words) == 0
    assert f"{on} (emulated)" in capsys.readouterr().out
    assert asked("ls", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["emulated"], row["unreachable"]) == ("interrupted", True, None)
    assert "resume" in row["reason"]
    code = asked("logs", run.id, str(before[0].number))
    said = capsys.readouterr()
    if how == signal.SIGINT:
        assert (code, said.out.split(": ")[0]) == (0, "step 1"), said  # it was kept before the emulator ended
    else:
        assert code != 0
        assert "gone with the emulator" in said.err
    assert asked("resume", run.id, "--quiet") == 0
    after = api.attach(project=tmp_path)
    assert after.counts() == {"completed": 4}
    if mode == "driven":
        kept = [trial for trial in after.trials() if trial.number in {each.number for each in before}]
        assert kept == before, "what had ended stays as it was, and is not run again"
    else:
        assert any("begins anew" in message for _, _, message in after.events())
    assert after.record.where == f"{on} (emulated)"


@pytest.mark.parametrize("on", ["aws", *(pytest.param(on, marks=pytest.mark.complete) for on in ("gcp", "azure"))])
def test_a_run_whose_emulator_ended_can_be_cancelled_and_removed(
    on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end(begun(tmp_path, on, "driven"), signal.SIGKILL)
    monkeypatch.chdir(tmp_path)
    assert asked("cancel") == 0
    assert api.attach(project=tmp_path).state is RunState.CANCELLED
    assert asked("rm", api.attach(project=tmp_path).id) == 0
    assert "stays" not in capsys.readouterr().out, "nothing of an emulator stays at a service"
    assert api.runs(project=tmp_path) == []


@pytest.mark.parametrize("on", ["gcp", *(pytest.param(on, marks=pytest.mark.complete) for on in ("aws", "azure"))])
def test_a_driver_whose_emulator_ends_interrupts_its_run_and_no_trial_failed(
    on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api.emulated(on, project=tmp_path) as variables:
        told = dict(variables)
        run = api.prepare(
            job_of(tmp_path, SLOW, mode="driven", limits={"trials": 6}), on, project=tmp_path, base=tmp_path
        )
        emulators = run.record.emulators

        def leave(progress: Any) -> None:
            if progress.counts.get("completed"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run.wait(leave)
    for name, value in told.items():  # another process would still have them
        monkeypatch.setenv(name, value)
    assert [Listener(**each).gone for each in emulators.values()] == [True]
    again = api.attach(run.id, project=tmp_path)
    assert again.wait() is RunState.INTERRUPTED
    assert not [trial for trial in again.trials() if trial.state is TrialState.FAILED]
    assert again.refresh() is RunState.INTERRUPTED
    with pytest.raises(EmulatorEnded):
        again.check_emulators()


def test_a_terminal_that_leads_elsewhere_is_told_so_and_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with api.emulated("gcp", project=tmp_path) as variables:
        run = api.submit(job_of(tmp_path, SLOW), "gcp", project=tmp_path, base=tmp_path)
        with monkeypatch.context() as elsewhere:
            for name in variables:
                elsewhere.delenv(name)
            assert asked("ls") == 0
            said = " ".join(capsys.readouterr().out.split())
            assert "is in the emulator at http://127.0.0.1" in said
            assert asked("show", "--json") == 0
            shown = json.loads(capsys.readouterr().out)
            assert (shown["state"], shown["emulated"]) == ("running", True)
            assert asked("logs", run.id, "0") != 0
        assert run.wait() is RunState.COMPLETED


def test_a_paid_run_is_not_looked_for_in_an_emulator(tmp_path: Path) -> None:
    with api.emulated("gcp", project=tmp_path):
        run = api.submit(job_of(tmp_path, AT_ONCE), "gcp", project=tmp_path, base=tmp_path)
        run._store.write(columns={"emulators": {}})
        with pytest.raises(Exception, match="is no emulated run, but this terminal leads to the emulator"):
            run.refresh()
        assert run.state is RunState.RUNNING


@pytest.mark.parametrize("on", ["aws", "gcp", "azure"])
def test_no_run_begins_in_an_emulator_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str) -> None:
    with api.emulated(on, project=tmp_path) as variables:
        left = dict(variables)
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="does not run; start one .cloudtune emulate"):
        api.submit(job_of(tmp_path, AT_ONCE), on, project=tmp_path, base=tmp_path)
    assert not api.runs(project=tmp_path)


def test_parts_of_several_profiles_are_emulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with api.emulated("gcp,local", project=tmp_path):
        job = job_of(tmp_path, AT_ONCE, limits={"trials": 4, "parallel": 4})
        run = api.prepare(job, "gcp,local", project=tmp_path, base=tmp_path)
        assert run.wait() is RunState.COMPLETED, run.events()
    assert run.record.where == "gcp,local (gcp emulated)"
    assert run_app(["-C", str(tmp_path), "trials", "--json"]) in (0, None)
    rows = json.loads(capsys.readouterr().out)
    assert {row["place"].partition(":")[0]: row["emulated"] for row in rows} == {"gcp": True, "local": False}
    for trial in run.trials():  # also those that were in the emulator
        assert "hello" in list(Run(run._store, run._provider).logs(trial.number))


def test_a_listener_is_gone_when_its_process_or_its_port_is(tmp_path: Path) -> None:
    program = "import socket, sys\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\ninput()\ns.close()\nprint('closed', flush=True)\ninput()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())
    listener = Listener.at(f"http://127.0.0.1:{port}")
    assert listener.pid == process.pid
    assert not listener.gone
    assert not listener.mine
    assert Listener(listener.address, listener.host, os.getpid(), listener.born).gone, "another process"
    assert Listener(listener.address, listener.host, process.pid, 1.0).gone, "a later process of the same number"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "closed\n"
    assert listener.gone
    process.communicate("\n")
    assert listener.gone
    assert Listener(listener.address, "another-machine").gone is False, "only that machine knows"


def test_a_trial_that_went_with_its_emulator_says_so(tmp_path: Path) -> None:
    with api.emulated("gcp", project=tmp_path):
        run = api.submit(job_of(tmp_path, AT_ONCE), "gcp", project=tmp_path, base=tmp_path)
        wait_until(lambda: bool(run.refresh()) and run.counts().get("completed", 0) >= 1)
    assert run.state is RunState.INTERRUPTED
    with pytest.raises(TrialError, match="gone with the emulator"):
        run.logs(0)
    with pytest.raises(TrialError, match="gone with the emulator"):
        run.fetch(0, tmp_path / "out")
    with pytest.raises(ConfigError, match="there is no emulator of vertex now"):
        run.revive()
