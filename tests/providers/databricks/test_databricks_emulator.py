"""The emulator of Databricks, judged by the unmodified SDK: one-time runs, volumes, files of the workspace, who is let in."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from late import LATE

if LATE:
    pytest.importorskip("databricks.sdk")
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.config import Config
    from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound, ResourceDoesNotExist, TooManyRequests
    from databricks.sdk.service import compute, jobs
    from databricks.sdk.service.workspace import ImportFormat

    from cloudtune_databricks.emulator import DatabricksEmulator

VOLUME = "/Volumes/main/default/tuning"
SOON = timedelta(seconds=60)


@pytest.fixture(scope="module")
def emulator() -> Iterator[DatabricksEmulator]:
    with DatabricksEmulator(grace=0.3, kept=4000) as running:
        yield running


@pytest.fixture(scope="module")
def client(emulator: DatabricksEmulator) -> WorkspaceClient:
    return WorkspaceClient(host=emulator.url, token=emulator.token)


def program(client: WorkspaceClient, text: str, name: str = "own.py") -> str:
    """Put a Python file into the workspace; return its path."""
    client.workspace.mkdirs("/Users/emulated@example.com/code")
    path = f"/Users/emulated@example.com/code/{name}"
    client.workspace.upload(path, io.BytesIO(text.encode()), format=ImportFormat.AUTO, overwrite=True)
    return f"/Workspace{path}"


def submitted(client: WorkspaceClient, path: str, *words: str, **more: Any) -> Any:
    """A run of a Python file on serverless compute, that has not ended."""
    task = jobs.SubmitTask(
        task_key="t",
        environment_key="e",
        spark_python_task=jobs.SparkPythonTask(python_file=path, parameters=list(words)),
    )
    environment = jobs.JobEnvironment("e", compute.Environment(environment_version="4"))
    return client.jobs.submit(run_name="judged", tasks=[task], environments=[environment], **more)


def output_of(client: WorkspaceClient, run: jobs.Run) -> jobs.RunOutput:
    assert run.tasks is not None
    assert run.tasks[0].run_id is not None
    return client.jobs.get_run_output(run.tasks[0].run_id)


# Runs


@pytest.mark.complete
def test_a_run_goes_its_way_and_tells_what_it_printed(client: WorkspaceClient) -> None:
    path = program(client, "import sys\nprint('words', sys.argv[1:])\nassert '__file__' not in globals()\n")
    run = submitted(client, path, "a b", "c").result(timeout=SOON)
    assert run.state is not None
    assert run.status is not None
    assert run.state.result_state is jobs.RunResultState.SUCCESS
    assert run.status.termination_details is not None
    assert run.status.termination_details.code is jobs.TerminationCodeCode.SUCCESS
    assert output_of(client, run).logs == "words ['a b', 'c']"
    assert run.run_id in [
        each.run_id for each in client.jobs.list_runs(run_type=jobs.RunType.SUBMIT_RUN, completed_only=True)
    ]
    assert run.run_id not in [each.run_id for each in client.jobs.list_runs(active_only=True)]


@pytest.mark.complete
def test_a_failure_has_its_error_and_only_the_end_of_its_output(client: WorkspaceClient) -> None:
    path = program(
        client, "print('first')\nfor _ in range(500):\n    print('x' * 20)\nraise ValueError('no luck')\n", "bad.py"
    )
    waiter = submitted(client, path)
    run = client.jobs.wait_get_run_job_terminated_or_skipped(waiter.run_id, timeout=SOON)
    output = output_of(client, run)
    assert (output.error, output.logs_truncated) == ("ValueError: no luck", True)
    assert "ValueError: no luck" in str(output.error_trace)
    assert "first" not in str(output.logs)
    assert run.status is not None
    assert run.status.termination_details is not None
    assert run.status.termination_details.code is jobs.TerminationCodeCode.RUN_EXECUTION_ERROR


@pytest.mark.complete
def test_a_run_is_cancelled_with_all_that_it_started(client: WorkspaceClient) -> None:
    path = program(client, "import subprocess\nsubprocess.run(['sleep', '60'])\n", "slow.py")
    waiter = submitted(client, path)
    client.jobs.cancel_run_and_wait(waiter.run_id, timeout=SOON)
    run = client.jobs.get_run(waiter.run_id)
    assert run.state is not None
    assert run.state.result_state is jobs.RunResultState.CANCELED
    client.jobs.delete_run(waiter.run_id)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get_run(waiter.run_id)


@pytest.mark.complete
def test_a_token_makes_one_run_and_runs_are_listed_in_pages(client: WorkspaceClient) -> None:
    path = program(client, "")
    first = submitted(client, path, idempotency_token="once")
    assert submitted(client, path, idempotency_token="once").run_id == first.run_id
    more = {submitted(client, path).run_id for _ in range(3)}
    listed = [each.run_id for each in client.jobs.list_runs(limit=2)]
    assert more | {first.run_id} <= set(listed)
    assert listed == sorted(listed, reverse=True)
    for run_id in more:
        client.jobs.wait_get_run_job_terminated_or_skipped(run_id, timeout=SOON)


@pytest.mark.complete
def test_runs_wait_in_the_queue_or_are_refused_without_one() -> None:
    with DatabricksEmulator(parallel=1, grace=0.2) as emulator:
        client = WorkspaceClient(config=Config(host=emulator.url, token=emulator.token, retry_timeout_seconds=1))
        path = program(client, "import time\ntime.sleep(30)\n")
        submitted(client, path)
        waits = submitted(client, path, queue=jobs.QueueSettings(enabled=True))
        said = client.jobs.get_run(waits.run_id)
        assert said.status is not None
        assert said.status.state is jobs.RunLifecycleStateV2State.QUEUED
        with pytest.raises((TooManyRequests, TimeoutError)):
            submitted(client, path)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"tasks": [], "timeout": 3}, "unknown field timeout"),
    "an unknown field of a task": ({"tasks": [{"task_key": "t", "new_clusters": {}, "python": 1}]}, "unknown field tasks[0].python"),
    "no task": ({"tasks": []}, "At least one task"),
    "no kind of task": ({"tasks": [{"task_key": "t", "environment_key": "e"}]}, "exactly one kind of task"),
    "no place": ({"tasks": [{"task_key": "t", "spark_python_task": {"python_file": "/a.py"}}]}, "need an environment"),
    "no such environment": (
        {"tasks": [{"task_key": "t", "environment_key": "e", "spark_python_task": {"python_file": "/a.py"}}]},
        "is not among the environments",
    ),
    "no runtime": (
        {"tasks": [{"task_key": "t", "new_cluster": {"node_type_id": "m5.large", "num_workers": 0}, "spark_python_task": {"python_file": "/a.py"}}]},
        "new_cluster.spark_version",
    ),
    "no such cluster": (
        {"tasks": [{"task_key": "t", "existing_cluster_id": "x", "spark_python_task": {"python_file": "/a.py"}}]},
        "Cluster x does not exist",
    ),
    "a long token": (
        {"idempotency_token": "x" * 65, "environments": [{"environment_key": "e", "spec": {"environment_version": "4"}}],
         "tasks": [{"task_key": "t", "environment_key": "e", "spark_python_task": {"python_file": "/a.py"}}]},
        "at most 64 characters",
    ),
    "a value that there is not": (
        {"tasks": [{"task_key": "t", "new_cluster": {"aws_attributes": {"availability": "SPOTTY"}}}]},
        "aws_attributes.availability",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_that_is_not_valid_is_refused_with_the_reason(client: WorkspaceClient, case: str) -> None:
    body, words = REFUSED[case]
    with pytest.raises(BadRequest, match=words.replace("[", r"\[")):
        client.api_client.do("POST", "/api/2.2/jobs/runs/submit", body=body)


# Files


def test_files_of_volumes_come_and_go(client: WorkspaceClient) -> None:
    client.files.upload(f"{VOLUME}/a b/ü.txt", io.BytesIO(b"one"))
    client.files.upload(f"{VOLUME}/a b/empty", io.BytesIO(b""))
    with pytest.raises(AlreadyExists):
        client.files.upload(f"{VOLUME}/a b/ü.txt", io.BytesIO(b"two"), overwrite=False)
    entries = {each.name: each.file_size for each in client.files.list_directory_contents(f"{VOLUME}/a b")}
    assert entries == {"empty": 0, "ü.txt": 3}
    contents = client.files.download(f"{VOLUME}/a b/ü.txt").contents
    assert contents is not None
    assert contents.read() == b"one"
    assert client.files.get_metadata(f"{VOLUME}/a b/ü.txt").content_length == 3
    for name in entries:
        client.files.delete(f"{VOLUME}/a b/{name}")
    client.files.delete_directory(f"{VOLUME}/a b")
    with pytest.raises(NotFound):
        client.files.get_directory_metadata(f"{VOLUME}/a b")


@pytest.mark.parametrize(
    "path", ["/Volumes/main/default/other/x", "/Volumes/main/default/tuning/../../x", "/etc/passwd", "/Volumes/main"]
)
def test_no_path_leads_out_of_a_volume(client: WorkspaceClient, path: str, emulator: DatabricksEmulator) -> None:
    with pytest.raises((NotFound, BadRequest)):
        client.api_client.do("PUT", f"/api/2.0/fs/files{path}", data=b"x")
    assert not list(emulator.folder.rglob("x"))


@pytest.mark.complete
def test_a_running_task_sees_volumes_at_their_own_paths(client: WorkspaceClient, emulator: DatabricksEmulator) -> None:
    from cloudtune.emulation.mounting import mounting

    if not mounting("/Volumes").works:
        pytest.skip(mounting("/Volumes").why_not)
    client.files.upload(f"{VOLUME}/seen.txt", io.BytesIO(b"seen"))
    path = program(
        client,
        f"import pathlib\npathlib.Path('{VOLUME}/left.txt').write_text(pathlib.Path('{VOLUME}/seen.txt').read_text())\n",
        "sees.py",
    )
    submitted(client, path).result(timeout=SOON)
    contents = client.files.download(f"{VOLUME}/left.txt").contents
    assert contents is not None
    assert contents.read() == b"seen"
    assert not Path("/Volumes/main").exists()


# Who is let in


@pytest.mark.complete
def test_a_service_principal_signs_in_by_oauth(emulator: DatabricksEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in emulator.principal.items():
        monkeypatch.setenv(name, value)
    for name in ("DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    client = WorkspaceClient()
    assert client.config.auth_type == "oauth-m2m"
    assert client.current_user.me().user_name == "emulated@example.com"


@pytest.mark.complete
def test_a_wheels_entry_point_is_called(client: WorkspaceClient) -> None:
    task = jobs.PythonWheelTask(package_name="platform", entry_point="python_version", named_parameters={"x": "1"})
    environment = jobs.JobEnvironment("e", compute.Environment(environment_version="4"))
    run = client.jobs.submit(
        tasks=[jobs.SubmitTask("t", environment_key="e", python_wheel_task=task)], environments=[environment]
    )
    assert run.result(timeout=SOON).state.result_state is jobs.RunResultState.SUCCESS
    assert sys.version_info >= (3, 11)
