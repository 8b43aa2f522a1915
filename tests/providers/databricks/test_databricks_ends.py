"""How the service's words for the end of a run are read: what costs a retry, what does not, and what is of no use to try again."""

from __future__ import annotations

from typing import Any

import pytest

from cloudtune.store.records import TrialState
from cloudtune_databricks.ends import Standing, error_in, standing

NO_ROOM = "Cluster is in unexpected state Terminated: INSUFFICIENT_INSTANCE_CAPACITY(CLOUD_FAILURE)"


def ended(code: str, kind: str, message: str = "why", *, result: str = "FAILED", ran: bool = True) -> Standing:
    task = {
        "run_id": 7,
        "start_time": 1_000,
        "setup_duration": 2_000,
        "end_time": 9_000,
        "execution_duration": 6_000 if ran else 0,
    }
    task["state"] = {"life_cycle_state": "TERMINATED"}  # type: ignore[assignment]
    status = {"state": "TERMINATED", "termination_details": {"code": code, "type": kind, "message": message}}
    state = {"life_cycle_state": "TERMINATED", "result_state": result}
    return standing({"run_id": 6, "state": state, "status": status, "tasks": [task]})


def test_a_success_has_its_times_without_the_start_of_its_cluster() -> None:
    found = ended("SUCCESS", "SUCCESS", "", result="SUCCESS")
    assert (found.state, found.task, found.started, found.ended) == (TrialState.COMPLETED, 7, 3.0, 9.0)


@pytest.mark.parametrize(
    ("code", "kind", "lost", "retry"),
    [
        ("RUN_EXECUTION_ERROR", "CLIENT_ERROR", False, True),
        ("CLUSTER_ERROR", "CLOUD_FAILURE", True, True),
        ("DRIVER_ERROR", "INTERNAL_ERROR", True, True),
        ("CLOUD_FAILURE", "CLOUD_FAILURE", True, True),
        ("WORKSPACE_RUN_LIMIT_EXCEEDED", "CLIENT_ERROR", True, True),
        ("A_CODE_OF_TOMORROW", "CLOUD_FAILURE", True, True),
        ("A_CODE_OF_TOMORROW", "CLIENT_ERROR", False, False),
        ("INVALID_CLUSTER_REQUEST", "CLIENT_ERROR", False, False),
        ("LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR", False, False),
        ("UNAUTHORIZED_ERROR", "CLIENT_ERROR", False, False),
    ],
)
def test_what_is_not_the_programs_doing_costs_no_retry(code: str, kind: str, lost: bool, retry: bool) -> None:
    found = ended(code, kind)
    assert (found.state, found.lost, found.retry) == (TrialState.FAILED, lost, retry)
    assert found.reason == f"why ({code})"
    assert found.executed == (code == "RUN_EXECUTION_ERROR")


def test_a_cluster_without_machines_is_one_that_found_no_place() -> None:
    found = ended("CLUSTER_ERROR", "CLOUD_FAILURE", NO_ROOM, ran=False)
    assert (found.unplaced, found.lost, found.started) == (True, False, None)
    assert not ended("CLUSTER_ERROR", "CLOUD_FAILURE", NO_ROOM).unplaced, "it had machines once"


def test_spot_nodes_that_are_taken_away_are_told_from_other_losses() -> None:
    assert ended("CLUSTER_ERROR", "CLOUD_FAILURE", "Terminated: SPOT_INSTANCE_TERMINATION(CLOUD_FAILURE)").preempted
    assert not ended("CLUSTER_ERROR", "CLOUD_FAILURE", "Terminated: DRIVER_UNREACHABLE").preempted


def test_a_timeout_and_a_cancellation_are_told_apart() -> None:
    assert ended("CANCELED", "CLIENT_ERROR", result="TIMEDOUT").too_long
    found = ended("USER_CANCELED", "SUCCESS", result="CANCELED")
    assert (found.state, found.retry) == (TrialState.CANCELLED, False)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}, (TrialState.COMPLETED, False)),
        ({"life_cycle_state": "TERMINATED", "result_state": "FAILED"}, (TrialState.FAILED, False)),
        ({"life_cycle_state": "INTERNAL_ERROR", "state_message": "the cluster"}, (TrialState.FAILED, True)),
        ({"life_cycle_state": "SKIPPED"}, (TrialState.FAILED, False)),
    ],
)
def test_a_service_without_codes_is_read_by_its_results(
    state: dict[str, str], expected: tuple[TrialState, bool]
) -> None:
    found = standing({"run_id": 6, "state": state, "tasks": [{"run_id": 7}]})
    assert (found.state, found.lost) == expected


@pytest.mark.parametrize(
    ("run", "waiting"),
    [
        ({"state": {"life_cycle_state": "PENDING"}}, "serverless compute"),
        ({"state": {"life_cycle_state": "PENDING"}, "tasks": [{"new_cluster": {}}]}, "its cluster"),
        ({"state": {"life_cycle_state": "QUEUED", "queue_reason": "full"}}, "its turn in the workspace's queue (full)"),
        ({"state": {"life_cycle_state": "A_WORD_OF_TOMORROW"}}, "serverless compute"),
        ({"state": {"life_cycle_state": "RUNNING"}, "tasks": [{"start_time": 1, "state": {"life_cycle_state": "RUNNING"}}]}, ""),
    ],
)  # fmt: skip
def test_what_a_run_waits_for_is_said(run: dict[str, Any], waiting: str) -> None:
    found = standing(run)
    assert (found.state, found.waiting) == (TrialState.RUNNING, waiting)


def test_the_reason_is_that_of_the_program_and_not_the_name_of_an_exception() -> None:
    assert error_in({"error": "TrialFailed: it exited with code 3"}) == "it exited with code 3"
    assert error_in({}) == ""
