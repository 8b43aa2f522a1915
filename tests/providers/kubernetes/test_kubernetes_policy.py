"""What `check --policy` prints is what runs take: with that Role everything works in an enforcing emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from cloud_runs import job_of
from late import LATE
from permitted_runs import Uses

from cloudtune import api
from cloudtune.provider.permissions import HINT
from cloudtune.store.records import RunState
from cloudtune_kubernetes.policy import policies, rules
from cloudtune_kubernetes.settings import KubernetesSettings

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.emulator import KubernetesEmulator

SELDOM = {("events", "list"), ("jobs", "patch"), ("trials", "get"), ("trials", "delete"), ("experiments", "patch")}
"""What only a Job without a pod, a pod that cannot start, a watch that is late, a trial that outlives its Experiment, or an extension takes."""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=0.2, backoff=0.02) as running:
        for name, value in {**running.environment, "CLOUDTUNE_KUBERNETES_POLL": "0.05"}.items():
            monkeypatch.setenv(name, value)
        yield running


def without(printed: dict[str, Any], resource: str) -> dict[str, Any]:
    """The Role without the rule of one resource."""
    smaller = json.loads(json.dumps(printed))
    role = smaller["caller"]
    role["rules"] = [rule for rule in role["rules"] if rule["resources"] != [resource]]
    return smaller  # type: ignore[no-any-return]


@pytest.mark.complete
@pytest.mark.parametrize("mode", ["driven", "managed"])
def test_everything_works_with_exactly_the_printed_role_and_every_verb_of_it_is_asked_for(
    emulator: KubernetesEmulator, tmp_path: Path, mode: Literal["driven", "managed"]
) -> None:
    emulator.enforce(policies(KubernetesSettings(namespace="default", katib=mode == "managed")))
    assert Uses("k8s", tmp_path, {"compute": {"count": 2}}).all(mode) == {}
    asked = {(ask.resource.partition("/")[2], ask.action) for who, ask in emulator.authority.asked if who == "caller"}
    wanted = {(resource, verb) for _, resource, verbs in rules(mode) for verb in verbs}
    assert wanted - asked <= SELDOM


@pytest.mark.complete
def test_a_driver_in_the_cluster_takes_exactly_the_printed_role(emulator: KubernetesEmulator, tmp_path: Path) -> None:
    emulator.enforce(policies(KubernetesSettings(namespace="default", driver_account="driver")))
    job = job_of(tmp_path, compute={"count": 2}, limits={"trials": 2}, trial={"environment": {"A": "b"}})
    run = api.submit(job, "k8s", project=tmp_path, base=tmp_path, driver="k8s")
    assert run.wait() is RunState.COMPLETED, run.events()
    asked = {(ask.resource.partition("/")[2], ask.action) for who, ask in emulator.authority.asked if who == "identity"}
    wanted = {(resource, verb) for _, resource, verbs in rules("driven", driving=True) for verb in verbs}
    assert wanted - asked <= SELDOM | {("jobs", "get"), ("jobs", "delete")}, (
        "which lost watches and stopped trials take"
    )


def test_the_role_of_a_driver_comes_with_its_binding() -> None:
    role, binding = policies(KubernetesSettings(namespace="team", driver_account="driver"))["identity"]["items"]
    assert (role["kind"], binding["roleRef"]["name"]) == ("Role", role["metadata"]["name"])
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "driver", "namespace": "team"}]
    assert policies(KubernetesSettings())["identity"]["kind"] == "Role"
    assert list(policies(KubernetesSettings(), "managed")) == ["caller"]


@pytest.mark.parametrize("resource", ["jobs", pytest.param("pods/log", marks=pytest.mark.complete)])
def test_a_denied_call_is_named_with_what_prints_all_that_is_needed(
    emulator: KubernetesEmulator, tmp_path: Path, resource: str
) -> None:
    emulator.enforce(without(policies(KubernetesSettings()), resource))
    uses = Uses("k8s", tmp_path, {})
    uses.run("driven")
    said = uses.problems["driven run"]
    assert resource in said
    assert HINT in said
    emulator.enforce(None)
