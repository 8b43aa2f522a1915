"""Looking at runs: at once, whatever the service does; in a project that may only be read; beside damaged runs."""

import contextlib
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cloud_runs import job_of
from older_stores import lower

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.looking import asking
from cloudtune.provider.interface import load_provider
from cloudtune.store.records import RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import Store

LOOKS = (["ls"], ["show"], ["trials"], ["best"], ["trials", "-o", "csv"])
SETTINGS = {
    "sagemaker": {"region": "eu-west-1"},
    "vertex": {"project": "p"},
    "azureml": {"subscription": "s", "resource_group": "g", "workspace": "w"},
}


def run_at(project: Path, provider: str, endpoint: str) -> str:
    """A run that a service keeps, in a project whose profile leads to an endpoint."""
    settings = {"endpoint": endpoint, **SETTINGS[provider]}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"provider": provider, **settings}.items()]
    (project / "cloudtune.toml").write_text("\n".join(["[profiles.cloud]", *lines, ""]))
    job = job_of(project)
    plan = load_provider(provider)(settings).plan(job)
    record = RunRecord(
        id="far-1", name="far", provider=provider, profile="cloud", job=json.dumps(job.to_data()),
        plan=json.dumps(plan.to_data()), state=RunState.RUNNING, created=1.0, seen=1.7e9,
        native={"job": "far-1", "base": str(project), "seed": "1"},
    )  # fmt: skip
    run = Store(project).create(record)
    run.write(trials=[Trial(0, {"x": 0.5}, TrialState.COMPLETED, {"score": 0.5}, attempt=1, place="far-1-1")])
    return run.id


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # takes connections, and never says a word
        port = listening.getsockname()[1]
        if request.param == "refuses":
            listening.close()
        yield "http://no-such-host.invalid" if request.param == "unknown" else f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("endpoint", ["silent", "refuses", "unknown"], indirect=True)
@pytest.mark.parametrize("provider", list(SETTINGS))
def test_what_is_known_is_shown_though_the_service_cannot_be_reached(
    provider: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_at(tmp_path, provider, endpoint)
    if "invalid" not in endpoint:  # an emulator that hangs; else the real service
        emulators = {provider: {"address": endpoint, "host": "", "pid": None, "born": None}}
        Store(tmp_path).run("far-1").write(columns={"emulators": emulators})
    monkeypatch.chdir(tmp_path)
    for words in LOOKS:
        assert run_app(list(words)) in (0, None)
    said = capsys.readouterr()
    assert "score" in said.out
    lost = api.attach("far-1").lost_emulators
    if not lost:
        assert "last seen 2023-11-14" in said.out + said.err
        assert "cannot be reached" in said.out + said.err
    assert run_app(["ls", "--json"]) in (0, None)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["seen"] == 1.7e9
    assert ("cannot be reached" in (row["unreachable"] or "")) is not lost
    assert row["state"] == ("interrupted" if lost else "running")


def test_a_look_that_hangs_does_not_keep_the_command_from_ending(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        run_at(tmp_path, "sagemaker", address)
        emulators = {"sagemaker": {"address": address, "host": "", "pid": None, "born": None}}
        Store(tmp_path).run("far-1").write(columns={"emulators": emulators})
        command = [sys.executable, "-m", "cloudtune", "ls"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "cannot be reached" in done.stdout


@pytest.mark.parametrize(("passed", "left"), [(0.0, 0.8), (0.3, 0.5), (60.0, 0.4)])
def test_a_service_has_what_is_left_of_the_second_in_which_a_look_answers(
    passed: float, left: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, most of it is over when the command is loaded."""
    run_at(tmp_path, "sagemaker", "http://no-such-host.invalid")
    given: list[float] = []
    monkeypatch.setattr(asking, "answers", lambda _, seconds: bool(given.append(seconds)))
    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    troubles = asking.ask([api.attach("far-1", project=tmp_path)], since=1000.0 - passed)
    assert given == [pytest.approx(left)]
    assert "cannot be reached" in troubles["far-1"]


# Only to read


def finished(project: Path) -> str:
    run = api.submit(job_of(project, local={"grace": 0.2}), "local", project=project, base=project)
    run.wait()
    return run.id


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that this process may not write to; root may, so that it is told otherwise."""
    made = tmp_path / "made"
    made.mkdir()
    finished(made)
    with contextlib.closing(sqlite3.connect(made / ".cloudtune" / "store.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ignored = shutil.ignore_patterns("store.db-*")
    shutil.copytree(made / ".cloudtune", tmp_path / ".cloudtune", ignore=ignored)  # which nobody has open
    access = os.access

    def asked(path: Any, mode: int, **options: Any) -> bool:
        return access(path, mode, **options) and not (mode & os.W_OK and str(path).startswith(f"{tmp_path}/.cloudtune"))

    monkeypatch.setattr(os, "access", asked)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("left", ["closed", "live", "log alone"])
def test_a_project_that_may_only_be_read_is_shown(
    left: str, read_only: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    store = read_only / ".cloudtune"
    writer = sqlite3.connect(store / "store.db", isolation_level=None)
    if left == "closed":
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.execute("UPDATE runs SET reason = 'in the log'")
    if left == "closed":
        writer.close()
    if left == "log alone":
        copies = [(store / f"store.db{end}", (store / f"store.db{end}").read_bytes()) for end in ("", "-wal")]
        writer.close()
        for path, content in copies:
            path.write_bytes(content)
        (store / "store.db-shm").unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and path.suffix != ".db-shm"}
    report = ["report", "-o", str(tmp_path_factory.mktemp("out") / "r.html")]
    for words in (*LOOKS, report, ["logs", "latest", "0"]):
        assert run_app(list(words)) in (0, None), words
    assert "in the log" in capsys.readouterr().out
    assert run_app(["cancel"]) in (0, None), "it has ended"
    assert run_app(["rm", api.attach().id]) == 4
    assert "may only be read" in capsys.readouterr().err
    now = {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and path.suffix != ".db-shm"}
    assert now == before


# Damage


def test_a_damaged_run_hides_itself_alone_and_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    good, bad = finished(tmp_path), finished(tmp_path)
    for column, value in (
        ("job", "{"),
        ("native", "[]"),
        ("state", "dancing"),
        ("created", "yesterday"),
    ):
        database = sqlite3.connect(tmp_path / ".cloudtune" / "store.db")
        before = database.execute(f"SELECT {column} FROM runs WHERE id = ?", [bad]).fetchone()[0]
        database.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", [value, bad])
        database.commit()
        assert run_app(["ls", "--json"]) in (0, None)
        rows = {row["id"]: row["state"] for row in json.loads(capsys.readouterr().out)}
        assert rows == {good: "completed", bad: "damaged"}, column
        assert run_app(["show", bad]) == 4
        assert f"cloudtune rm {bad}" in capsys.readouterr().err
        database.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", [before, bad])
        database.commit()
        database.close()
    Store(tmp_path).run(bad).write(columns={"state": "dancing"})
    assert run_app(["rm", bad]) in (0, None)
    assert [record.id for record in api.runs()] == [good]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("trials", "metrics"),
        *(pytest.param(*each, marks=pytest.mark.complete) for each in (("runs", "elapsed"), ("events", "message"))),
    ],
)
def test_a_store_that_lost_a_column_is_said_to_be_damaged(
    table: str, column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = finished(tmp_path)
    database = sqlite3.connect(tmp_path / ".cloudtune" / "store.db")
    database.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO {column}x")
    database.close()
    assert run_app(["show", run]) == 4
    said = capsys.readouterr().err
    assert "is damaged" in said, said
    assert column in said


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(n, marks=pytest.mark.complete) for n in range(4, 160))])
def test_no_damage_is_unexpected(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    finished(project)
    database = sqlite3.connect(project / ".cloudtune" / "store.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    chance = random.Random(seed)
    files = [path for path in sorted((project / ".cloudtune").rglob("*")) if path.is_file() and path.stat().st_size]
    path = project / ".cloudtune" / "store.db" if seed % 2 == 0 else chance.choice(files)
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 8, 64, 512])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content[: len(content) // 2] if chance.random() < 0.2 else content)
    monkeypatch.chdir(project)
    commands = (*LOOKS, ["logs", "latest", "0"], ["report", "-o", "r.html"], ["resume", "-q"], ["gc"], ["cancel"])
    for words in commands:
        run_app(list(words))
        said = capsys.readouterr()
        assert "unexpected:" not in said.err, (words, said.err)


def test_a_new_run_survives_the_loss_of_the_write_ahead_log(tmp_path: Path) -> None:
    run = api.prepare(job_of(tmp_path), "local", project=tmp_path, base=tmp_path)
    copy = tmp_path / "copy"
    (copy / ".cloudtune").mkdir(parents=True)
    shutil.copyfile(tmp_path / ".cloudtune" / "store.db", copy / ".cloudtune" / "store.db")
    assert Store(copy).run(run.id).record() == run.record
    assert (tmp_path / ".cloudtune").stat().st_mode & 0o777 == 0o700


def test_a_store_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    run_id = finished(tmp_path)
    lower(tmp_path / ".cloudtune" / "store.db", 1)
    (tmp_path / ".cloudtune").chmod(0o755)
    record = api.attach(run_id, project=tmp_path).record
    assert (record.emulators, record.seen, record.state) == ({}, None, RunState.COMPLETED)
    assert (tmp_path / ".cloudtune").stat().st_mode & 0o777 == 0o700
