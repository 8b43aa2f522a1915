"""How runs stand and how they ended, from the service's words.

https://docs.databricks.com/api/workspace/jobs/getrun: ``state``, ``status`` and its ``termination_details``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cloudtune.planning.plain_data import mapping, mappings
from cloudtune.store.records import TrialState

_ENDED = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_RUNNING = frozenset({"RUNNING", "TERMINATING"})

_LOST = frozenset(
    {
        "INTERNAL_ERROR", "DRIVER_ERROR", "CLUSTER_ERROR", "CLOUD_FAILURE", "CLUSTER_TERMINATED_BY_USER", "BREAKING_CHANGE",
        "WORKSPACE_RUN_LIMIT_EXCEEDED", "CLUSTER_REQUEST_LIMIT_EXCEEDED", "MAX_CONCURRENT_RUNS_EXCEEDED", "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        "MAX_SPARK_CONTEXTS_EXCEEDED", "STORAGE_ACCESS_ERROR", "MAXIMUM_CONCURRENT_RUNS_REACHED",
    }
)  # fmt: skip
"""Codes of ends that are not the trial's doing: the machine, the cloud, or a limit of the workspace."""

_FOR_GOOD = frozenset(
    {
        "INVALID_CLUSTER_REQUEST", "INVALID_RUN_CONFIGURATION", "RESOURCE_NOT_FOUND", "UNAUTHORIZED_ERROR", "FEATURE_DISABLED", "DISABLED",
        "REPOSITORY_CHECKOUT_FAILED", "LIBRARY_INSTALLATION_ERROR", "BUDGET_POLICY_LIMIT_EXCEEDED", "SKIPPED", "EXCLUDED",
    }
)  # fmt: skip
"""Codes of ends that another attempt would have again."""

_CANCELLED = frozenset({"USER_CANCELED", "CANCELED"})

_NO_ROOM = re.compile(
    r"INSUFFICIENT\w*CAPACITY|STOCKOUT|OUT_OF_CAPACITY|QUOTA_EXCEEDED|insufficient capacity|quota", re.IGNORECASE
)
"""How a cluster's failure tells that no machines were to be had."""

_TAKEN = re.compile(r"SPOT_INSTANCE_TERMINATION|PREEMPT|EVICTED|spot instance", re.IGNORECASE)
"""How it tells that spot nodes were taken away."""

_NEVER_RAN = "its run never began"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands.

    Attributes:
        state: of the trial; RUNNING until the run has ended.
        task: the id of the run of its one task; 0 where that is not known yet.
        started: seconds since 1970 at which the task began to execute; None before.
        ended: seconds since 1970; None before.
        waiting: what it waits for; "" for nothing.
        reason: why it ended, by the service; "" for success.
        lost: whether that was not the trial's doing.
        preempted: whether its nodes were taken for others.
        unplaced: whether it got no machine.
        too_long: whether it ran into its limit.
        retry: whether another attempt may end otherwise.
        executed: whether the task itself failed, so that its output says why.
    """

    state: TrialState
    task: int = 0
    started: float | None = None
    ended: float | None = None
    waiting: str = ""
    reason: str = ""
    lost: bool = False
    preempted: bool = False
    unplaced: bool = False
    too_long: bool = False
    retry: bool = True
    executed: bool = False


def standing(run: Mapping[str, Any]) -> Standing:
    """Return how a run stands, from what ``runs/list`` or ``runs/get`` says of it."""
    task = next(iter(mappings(run.get("tasks"))), {})
    state = mapping(run.get("state"))
    life = str(state.get("life_cycle_state", ""))
    number, started, ended = int(task.get("run_id") or 0), _started(task, life), _moment(task.get("end_time"))
    if life in _ENDED:
        return _end(run, task, Standing(TrialState.FAILED, number, started, ended or _moment(run.get("end_time"))))
    return Standing(
        TrialState.RUNNING, number, started, waiting="" if life in _RUNNING and started else _wait(run, task, life)
    )


def deleted() -> Standing:
    """Return how a run stands that the service does not know any more."""
    return Standing(TrialState.CANCELLED, reason="its run was deleted", retry=False)


def _moment(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) and milliseconds > 0 else None


def _started(task: Mapping[str, Any], life: str) -> float | None:
    """Return when a task began to execute, after its cluster was there."""
    begun, own = _moment(task.get("start_time")), str(mapping(task.get("state")).get("life_cycle_state", life))
    if begun is None or (own not in _RUNNING and not (own in _ENDED and task.get("execution_duration"))):
        return None
    return begun + (_moment(task.get("setup_duration")) or 0.0)


def _wait(run: Mapping[str, Any], task: Mapping[str, Any], life: str) -> str:
    if life == "QUEUED":
        details = mapping(mapping(run.get("status")).get("queue_details"))
        why = details.get("message") or mapping(run.get("state")).get("queue_reason") or details.get("code") or ""
        return f"its turn in the workspace's queue ({why})" if why else "its turn in the workspace's queue"
    return "its cluster" if "new_cluster" in task or "existing_cluster_id" in task else "serverless compute"


def _end(run: Mapping[str, Any], task: Mapping[str, Any], known: Standing) -> Standing:
    """Return how a run has ended: by the code of its termination, or, where the service is older, by its result."""
    details = _details(task) or _details(run)
    states = [mapping(part.get("state")) for part in (task, run)]
    results = [str(state["result_state"]) for state in states if state.get("result_state")]
    result = "TIMEDOUT" if "TIMEDOUT" in results else next(iter(results), str(states[1].get("life_cycle_state", "")))
    code = str(details.get("code") or {"FAILED": "RUN_EXECUTION_ERROR"}.get(result, result))
    said = str(
        details.get("message") or next((each["state_message"] for each in states if each.get("state_message")), "")
    )
    if result == "TIMEDOUT":
        return replace(known, too_long=True, reason=said)
    if code in ("SUCCESS", "SUCCESS_WITH_FAILURES"):
        return replace(known, state=TrialState.COMPLETED)
    if code in _CANCELLED:
        return replace(known, state=TrialState.CANCELLED, reason="its run was cancelled", retry=False)
    lost = code in _LOST or (code not in _FOR_GOOD and details.get("type") in ("INTERNAL_ERROR", "CLOUD_FAILURE"))
    unplaced = lost and known.started is None and bool(_NO_ROOM.search(said))
    executed = code == "RUN_EXECUTION_ERROR"
    retry = lost or executed or (code not in _FOR_GOOD and details.get("type") != "CLIENT_ERROR")
    reason = f"{said} ({code})" if said else code or _NEVER_RAN
    preempted = lost and not unplaced and bool(_TAKEN.search(said))
    return replace(
        known,
        reason=reason,
        lost=lost and not unplaced,
        preempted=preempted,
        unplaced=unplaced,
        retry=retry,
        executed=executed,
    )


def _details(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(part.get("status")).get("termination_details"))


def error_in(output: Mapping[str, Any]) -> str:
    """Return why a task failed, from its output: without the name of the exception that ``task.py`` raises."""
    return str(output.get("error") or "").strip().removeprefix("TrialFailed: ")
