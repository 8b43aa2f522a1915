"""Channels are told how runs go: once for each event, without a secret in the store, and never at the expense of the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from told import Webhook, webhook

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.costs.warning import NEARLY, warner
from cloudtune.errors import masking
from cloudtune.notifying import outbox
from cloudtune.notifying.outbox import wait_for_all
from cloudtune.notifying.telling import telling
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.notices import SENDING, SENT, claim, notices
from cloudtune.store.records import RunState
from cloudtune.store.store import RunStore, Store
from cloudtune.testing.conformance import wait_until
from cloudtune.tuning.rehearsal import rehearse

GOOD = "import cloudtune.trial as t\nt.report(score=t.params()['x'])\n"
BAD = "raise SystemExit('no data')\n"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setattr(masking, "_known", set())
    with webhook() as served:
        monkeypatch.setenv("HOOK", served.url)
        yield served
        wait_for_all()


def job_of(folder: Path, script: str = GOOD, **fields: Any) -> TuningJob:
    (folder / "train.py").write_text(script)
    data: dict[str, Any] = {
        "name": "told",
        "trial": {"command": "python train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "limits": {"trials": 2, **fields.pop("limits", {})},
        "notify": {"webhook": "${HOOK}"},
        **fields,
    }
    return TuningJob.from_data(data)


def prepared(folder: Path, script: str = GOOD, **fields: Any) -> Run:
    return api.prepare(job_of(folder, script, **fields), "local", project=folder, base=folder)


def test_the_end_is_told_with_state_best_and_commands(hook: Webhook, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    assert run.wait() is RunState.COMPLETED
    wait_for_all()
    (message,) = hook.messages
    assert (message["event"], message["run"], message["state"]) == ("end", run.id, "completed")
    assert run.best is not None
    assert message["best"]["metrics"] == run.best.metrics
    assert message["trials"] == {"completed": 2}
    assert message["commands"]["show"] == f"cloudtune show {run.id}"
    run.refresh()
    assert api.attach(run.id, project=tmp_path).wait() is RunState.COMPLETED
    wait_for_all()
    assert len(hook.messages) == 1


def test_a_failure_is_told_with_its_reason_to_those_who_want_failures(hook: Webhook, tmp_path: Path) -> None:
    told = [{"webhook": "${HOOK}", "events": ["failure"]}, {"command": "cat > end.json", "events": ["end", "budget"]}]
    run = prepared(tmp_path, BAD, notify=told)
    assert run.wait() is RunState.FAILED
    wait_for_all()
    (message,) = hook.messages
    assert (message["event"], message["state"]) == ("failure", "failed")
    assert message["reason"] == run.record.reason
    assert not (tmp_path / "end.json").exists()


def test_a_cancelled_run_is_told_as_an_end(hook: Webhook, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    run.cancel()
    wait_for_all()
    assert [(each["event"], each["state"]) for each in hook.messages] == [("end", "cancelled")]


def test_a_driver_that_was_killed_is_told_as_a_failure_by_the_next_look(hook: Webhook, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    run._store.write(columns={"state": "running"})
    run.refresh()
    run.refresh()
    wait_for_all()
    assert [(each["event"], each["state"]) for each in hook.messages] == [("failure", "interrupted")]


def test_who_interrupts_a_run_is_not_told_of_it(hook: Webhook, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    with telling(run._store, None):
        run._store.write(columns={"state": "interrupted", "reason": "by Ctrl-C; `cloudtune resume` goes on with it"})
    wait_for_all()
    assert hook.messages == []


def test_a_rehearsal_tells_nobody(hook: Webhook, tmp_path: Path) -> None:
    rehearse(job_of(tmp_path), "local", project=tmp_path, base=tmp_path)
    wait_for_all()
    assert hook.messages == []


def test_a_budget_is_told_while_the_run_goes_on(hook: Webhook, tmp_path: Path) -> None:
    run = prepared(tmp_path, limits={"cost": 5})
    warn = warner(run._store, run.job)
    assert warn is not None
    with telling(run._store, None, live=True):
        warn(f"{NEARLY} 4.10 of 5.00 USD (limits.cost)")
        assert hook.arrived.acquire(timeout=100)
    wait_for_all()
    assert [(each["event"], each["reason"]) for each in hook.messages] == [
        ("budget", f"{NEARLY} 4.10 of 5.00 USD (limits.cost)")
    ]
    assert warner(run._store, run.job) is None, "a resume warns again of the same budget"
    assert warner(run._store, job_of(tmp_path, limits={"cost": 10})) is not None


def test_a_run_that_spends_its_budget_tells_of_most_of_it_before_its_end(hook: Webhook, tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text("[prices.local]\nhour = 36000\n")  # 10 a second
    endless = "import signal\nsignal.pause()\n"
    run = prepared(tmp_path, endless, limits={"cost": 5, "trials": 1})
    run.wait()
    wait_for_all()
    assert [each["event"] for each in hook.messages] == ["budget", "end"]
    assert hook.messages[0]["reason"].startswith(NEARLY)
    assert hook.messages[1]["reason"].startswith("the budget is spent")


def test_the_configs_channels_are_told_of_the_runs_of_their_profiles(hook: Webhook, tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text(
        '[notify.team]\nwebhook = "${HOOK}"\n\n[notify.cloud]\ncommand = "touch cloud"\nprofiles = ["aws"]\n'
    )
    prepared(tmp_path, notify=[]).wait()
    wait_for_all()
    assert len(hook.messages) == 1
    assert not (tmp_path / "cloud").exists()


def test_what_a_server_repeats_of_its_address_is_nowhere_in_the_store(hook: Webhook, tmp_path: Path) -> None:
    hook.status, hook.answer = 403, f"invalid_token: {hook.url}".encode()
    run = prepared(tmp_path)
    run.wait()
    wait_for_all()
    ((_, number, said),) = [event for event in run.events() if "notify" in event[2]]
    assert number is None
    assert said.startswith("could not notify notify[0] (webhook): it answered 403")
    secret = hook.url.rpartition("/")[2].encode()
    run._store.store.checkpoint()
    files = [path for path in (tmp_path / ".cloudtune").rglob("*") if path.is_file()]
    assert not [path for path in files if secret in path.read_bytes()]


def test_a_webhook_that_never_answers_delays_nothing(
    hook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.drip = True
    run = prepared(tmp_path)
    monkeypatch.setattr(outbox, "LIMIT", 1.0)
    assert run.wait() is RunState.COMPLETED
    assert hook.arrived.acquire(timeout=100)
    assert [each.outcome for each in notices(run._store)] == [SENDING], "the run waited for it"
    wait_for_all()
    assert [each.outcome for each in notices(run._store)] == ["it did not answer within 1 s"]


def test_a_config_that_is_broken_meanwhile_is_an_event(hook: Webhook, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    with telling(run._store, None):
        run._store.write(columns={"state": "completed", "ended": 1.0})
        (tmp_path / "cloudtune.toml").write_text("[notify.team]\nslak = 1\n")
    assert "could not notify: " in run.events()[-1][2]


def test_of_two_processes_that_see_one_end_one_tells_it(hook: Webhook, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    barrier, told = threading.Barrier(4), []

    def look() -> None:
        own = RunStore(Store(tmp_path), run.id)
        barrier.wait()
        told.append(claim(own, "ended 1.0", "team"))
        own.store.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False, False, False, True]


KILLED = """
import os, signal, sys
from cloudtune import api
from cloudtune.notifying import outbox
outbox.post = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
api.attach(sys.argv[1]).wait()
"""


def test_who_is_killed_between_mark_and_message_has_told_nobody_and_nobody_does_twice(
    hook: Webhook, tmp_path: Path
) -> None:
    run = prepared(tmp_path)
    killed = subprocess.run([sys.executable, "-c", KILLED, run.id], cwd=tmp_path, env=dict(os.environ), timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert run.state is RunState.COMPLETED
    assert run.wait() is RunState.COMPLETED
    wait_for_all()
    assert hook.messages == []
    assert [each.outcome for each in notices(run._store)] == [SENDING]


@pytest.mark.complete
def test_a_driver_in_the_background_tells_before_it_ends(hook: Webhook, tmp_path: Path) -> None:
    run = api.submit(job_of(tmp_path), "local", project=tmp_path, base=tmp_path)
    run.wait()
    assert hook.arrived.acquire(timeout=60)  # by that process or this one, whichever saw the end first
    wait_until(lambda: [each.outcome for each in notices(run._store)] == [SENT])
    wait_for_all()
    assert len(hook.messages) == 1


def test_the_command_sends_a_test_message_and_says_what_became_of_it(
    hook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(masking, "_known", set())
    monkeypatch.delenv("UNSET", raising=False)
    config = tmp_path / "cloudtune.toml"
    config.write_text('[notify.team]\nwebhook = "${HOOK}"\n')
    assert run_app(["notify", "--test"]) == 0
    assert hook.messages[0]["event"] == "test"
    config.write_text('[notify.team]\nwebhook = "${HOOK}"\n[notify.me]\nslack = "${UNSET}"\nevents = ["failure"]\n')
    assert run_app(["notify", "--test"]) == 4
    said = capsys.readouterr().out
    assert "UNSET is not set here" in " ".join(said.split())
    assert hook.url not in said
    assert run_app(["notify"]) == 0
    assert "UNSET (not set)" in capsys.readouterr().out
    config.write_text("")
    assert run_app(["notify"]) == 0
    assert "nobody is told" in capsys.readouterr().err
