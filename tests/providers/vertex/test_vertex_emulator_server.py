"""Vertex AI's emulator as a whole, and what goes wrong on purpose."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from emulator_requests import served_by_the_command
from late import LATE
from vertex_emulation import Used, X, eventually, request

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from google.api_core import exceptions
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1 as v1
    from google.cloud import storage
    from google.protobuf import json_format

    from cloudtune_vertex.emulator import Faults, VertexEmulator


# Faults


def test_throttling_does_nothing_and_is_counted(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(throttle=1.0))
    with pytest.raises(exceptions.TooManyRequests):
        used.create(request("pass"))
    used.emulator.faults.throttle = 0.0
    assert list(used.client.list_hyperparameter_tuning_jobs(parent=used.emulator.parent)) == []
    assert used.emulator.faults.counts == Counter(throttle=1)


def test_a_lost_answer_has_its_effect(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(lost=1.0))
    with pytest.raises((requests.ConnectionError, exceptions.GoogleAPICallError)):
        used.create(request("pass"))
    used.emulator.faults.lost = 0.0
    assert len(list(used.client.list_hyperparameter_tuning_jobs(parent=used.emulator.parent))) == 1


def test_errors_and_expired_credentials_are_the_services(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(errors=1.0))
    with pytest.raises(exceptions.ServiceUnavailable):
        used.create(request("pass"))
    used.emulator.faults.errors, used.emulator.faults.expired = 0.0, 1.0
    answer = used.http.get(f"{used.emulator.url}/v1/{used.emulator.parent}/customJobs")
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_a_slow_status_lags_behind(emulate: Callable[..., Used]) -> None:
    used = emulate()
    name = used.create(request(f"{X}tell(loss=x)"))
    used.emulator.wait(name, 60)
    assert used.get(name).state.name == "JOB_STATE_SUCCEEDED"
    used.emulator.faults.slow = 3600.0
    assert used.get(name).state.name == "JOB_STATE_PENDING"


def test_capacity_and_internal_errors_fail_a_job(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(capacity=1.0))
    job = used.custom_end(used.custom("pass"))
    assert (job.state.name, job.error.code) == ("JOB_STATE_FAILED", 8)
    used.emulator.faults.capacity, used.emulator.faults.internal = 0.0, 1.0
    assert used.custom_end(used.custom("pass")).error.code == 13


def test_spot_machines_are_taken_away_once(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(spot=1.0))
    code = f"{X}tell(1, loss=x)\ntime.sleep(0.5)\ntell(2, loss=x)"
    job = used.run(request(code, trialJobSpec={"scheduling": {"strategy": "SPOT"}}, maxTrialCount=1))
    assert job.trials[0].state.name == "SUCCEEDED"
    assert used.emulator.faults.counts["spot"] == 1


def test_machines_can_be_taken_away_by_hand(emulate: Callable[..., Used], tmp_path: Path) -> None:
    used = emulate()
    name = used.custom(
        f"import pathlib, time\nm = pathlib.Path({str(tmp_path / 'm')!r})\nif not m.exists():\n    m.touch()\n    time.sleep(60)"
    )
    eventually((tmp_path / "m").exists)
    used.emulator.preempt(name)
    assert used.custom_end(name).state.name == "JOB_STATE_SUCCEEDED"


# The emulator as a whole


def _sleepers(seconds: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").strip("\0")
        except OSError:
            continue
        if words == f"sleep\0{seconds}":
            found.append(folder.name)
    return found


def test_it_ends_all_processes_and_threads() -> None:
    before = set(threading.enumerate())
    with VertexEmulator() as emulator:
        used = Used(emulator)
        used.create(request("import os; os.execvp('sleep', ['sleep', '67'])"))
        used.custom("import os; os.execvp('sleep', ['sleep', '67'])")
        eventually(lambda: len(_sleepers(67)) == 3)
        ports = [int(emulator.url.rpartition(":")[2]), int(emulator.target.rpartition(":")[2])]
        folder = emulator.buckets.folder
    assert _sleepers(67) == []
    assert {thread for thread in set(threading.enumerate()) - before if "emulator" in thread.name} == set()
    assert not folder.exists()
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_what_is_in_a_given_folder_stays(tmp_path: Path) -> None:
    with VertexEmulator(folder=tmp_path / "cloud") as emulator:
        emulator.buckets.put(emulator.bucket, "a/b.txt", b"kept", {})
    with VertexEmulator(folder=tmp_path / "cloud") as emulator:
        assert emulator.buckets.path(f"gs://{emulator.bucket}/a/b.txt").read_bytes() == b"kept"


def test_mounted_folders_are_objects(tmp_path: Path, emulate: Callable[..., Used]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.csv").write_text("1,2")
    used = emulate(mounts={"gs://data/train/": tmp_path})
    assert used.emulator.buckets.path("gs://data/train/deep/a.csv").read_bytes() == b"1,2"


def test_calls_are_counted_by_their_names(emulate: Callable[..., Used]) -> None:
    used = emulate()
    used.run(request(f"{X}tell(loss=x)", maxTrialCount=1))
    assert used.emulator.calls["CreateHyperparameterTuningJob"] == 1
    assert used.emulator.calls["GetHyperparameterTuningJob"] == 1


def test_answers_are_messages_of_the_sdk(shared: Used) -> None:
    job = shared.run(request(f"{X}tell(loss=x)", labels={"a": "b"}, maxTrialCount=1))
    told = shared.http.get(f"{shared.emulator.url}/v1/{job.name}").json()
    message = json_format.ParseDict(told, v1.HyperparameterTuningJob.pb()())
    assert message == job._pb


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with served_by_the_command("vertex", "--mount", f"gs://data/x={tmp_path}", "--image", "*=true") as variables:
        options = ClientOptions(api_endpoint=variables["STORAGE_EMULATOR_HOST"])
        client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
        assert client.bucket("data").blob("x/a.txt").download_as_bytes() == b"a"
