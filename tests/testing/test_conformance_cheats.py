"""The conformance suite's look at plans catches providers that claim more than they do."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from cloudtune.planning.plan import Beside, Ledger, Plan, leaves
from cloudtune.plugins.entry_points import providers
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob
from cloudtune.testing.carried import unfounded
from cloudtune.testing.specs import jobs

Translation = Callable[[TuningJob], Plan]


def job_of(**fields: Any) -> TuningJob:
    data = {
        "name": "cheats",
        "trial": {"source": "src", "command": "python train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"rate": {"type": "float", "low": 0.25, "high": 0.75}},
        "strategy": {"type": "random", "seed": 77},
        "limits": {"trials": 33, "parallel": 4, "trial_time": "20m"},
        "compute": {"instance": "big", "count": 3},
        "tags": {"team": "ads"},
        **fields,
    }
    return TuningJob.from_data(data)


def honest(job: TuningJob) -> Plan:
    """All of the job is the request, each leaf at its own path."""
    ledger = Ledger("toy")
    for path, _ in leaves(job):
        ledger.carry(path, path)
    return ledger.close(job, "driven", {**job.to_data(), "objective": [each.model_dump() for each in job.objective]})


def with_targets(target_of: Callable[[str], str], request: dict[str, Any] | None = None) -> Translation:
    def plan(job: TuningJob) -> Plan:
        made = honest(job)
        carried = {path: target_of(path) for path in made.carried}
        return replace(made, carried=carried, request=made.request if request is None else request)

    return plan


def changing(change: Callable[[dict[str, Any]], None]) -> Translation:
    def plan(job: TuningJob) -> Plan:
        request: dict[str, Any] = dict(honest(job).request)
        for part in ("limits", "space", "tags"):
            request[part] = {**request[part]}
        change(request)
        return replace(honest(job), request=request)

    return plan


def frozen(_: TuningJob) -> Plan:
    return honest(job_of())


def _off_by_one(request: dict[str, Any]) -> None:
    request["limits"]["trials"] += 1


def _without_tags(request: dict[str, Any]) -> None:
    request["tags"] = {}


def _other_bounds(request: dict[str, Any]) -> None:
    request["space"] = {"rate": {**request["space"]["rate"], "high": 0.5}}


CHEATS: dict[str, tuple[Translation, str]] = {
    "sends nothing and names no place": (with_targets(lambda _: "", {}), "limits.trials"),
    "sends nothing and names places": (with_targets(lambda path: path, {}), "limits.trials"),
    "sends nothing and says that the driver does it": (with_targets(lambda _: Beside.DRIVER, {}), "compute.count"),
    "says that all of it is so anyway": (with_targets(lambda _: Beside.DEFAULT, {}), "limits.trials"),
    "says that all of it is for planning": (with_targets(lambda _: Beside.PLAN, {}), "limits.trials"),
    "says that code travels which the request does not name": (with_targets(lambda _: Beside.CODE, {}), "trial.command"),
    "names the request as a whole": (with_targets(lambda _: "."), "limits.trials"),
    "names an unrelated place": (with_targets(lambda _: "name"), "limits.trials"),
    "changes a count": (changing(_off_by_one), "limits.trials"),
    "changes a bound": (changing(_other_bounds), "space.rate.high"),
    "drops a tag": (changing(_without_tags), "tags.team"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_caught(name: str) -> None:
    cheat, leaf = CHEATS[name]
    assert any(problem.startswith(f"{leaf} = ") for problem in unfounded(cheat, job_of()))


def test_a_request_that_does_not_follow_the_job_is_caught() -> None:
    """What is sent is right for this one job, whatever the job says."""
    found = " ".join(unfounded(frozen, job_of()))
    for leaf in ("limits.trials", "strategy.seed", "space.rate.low", "objective[0].goal", "compute.count", "tags.team"):
        assert f"{leaf} = " in found


def test_an_honest_provider_passes() -> None:
    assert unfounded(honest, job_of()) == []


@pytest.mark.timeout(900)
@pytest.mark.complete  # each provider's conformance suite does the same with fewer jobs
@pytest.mark.parametrize("on", [name for name in providers() if name != "mixed"])
def test_our_own_plans_are_founded(on: str) -> None:
    provider = load_provider(on)({})

    @given(job=jobs())
    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(job: TuningJob) -> None:
        assert unfounded(provider.plan, job) == []

    check()
