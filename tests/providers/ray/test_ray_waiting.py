"""Trials that wait for the cluster's resources: what they wait for is told, and a cluster that grows is given time."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray_runs import begun, driven_beside, driver_of_its_own, messages

from cloudtune.errors import ProviderError
from cloudtune.store.records import TrialState
from cloudtune.store.store import Store
from cloudtune.testing.conformance import wait_until
from cloudtune_ray import launcher, room
from cloudtune_ray.autoscaling import Autoscaler, first

pytestmark = pytest.mark.xdist_group("ray")  # whose clusters are started once


@pytest.mark.complete
def test_a_trial_for_which_there_is_no_room_is_shown_as_waiting_with_the_reason(
    waiting: Any, made: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_QUEUE_GRACE", 0.5)
    run = made(waiting(limits={"trials": 3, "parallel": 3}, compute={"cpus": 2}))
    with driven_beside(run, project):
        wait_until(lambda: run.counts() == {"running": 2, "waiting": 1} and len(begun(project)) == 2)
        wait_until(lambda: any(trial.queued for trial in run.trials()))
        states = {trial.state.value: trial for trial in run.trials()}
        assert set(states) == {"running", "waiting"}
        assert states["waiting"].reason == "waits for 2 CPU to be free"
        assert states["waiting"].started is None
        (project / "go").touch()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 3
    assert f"{states['waiting'].number}: waits for 2 CPU to be free" in messages(run)


@pytest.mark.complete
def test_a_trial_that_got_its_room_when_its_driver_was_dead_has_begun(waiting: Any, made: Any, project: Path) -> None:
    run = made(waiting(limits={"trials": 1}))
    with driver_of_its_own(run, project) as driver:
        wait_until(lambda: begun(project) == {"0.1"})
        driver.kill()
        driver.wait()
    (trial,) = run.trials()
    queued = replace(trial, state=TrialState.WAITING, reason="waits for 1 CPU to be free", started=None)
    Store(project).run(run.id).write(trials=[queued])  # as if the driver had died before it was told more
    with driven_beside(run, project):
        wait_until(lambda: run.trials()[0].state is TrialState.RUNNING)
        assert run.trials()[0].reason == ""
        (project / "go").touch()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)]
    assert "0: taken over from the driver that launched it\n0: begins" in messages(run)


# A cluster as its status tells of it, without one

DEMAND = {"CPU": 64.0}


class MadeUp:
    """A cluster of one node, as much as `Room` asks of one."""

    def __init__(self) -> None:
        self.node = {"CPU": 2.0}
        self.ray = SimpleNamespace(available_resources=lambda: {"CPU": 1.0, "memory": 4e9})

    def misfit(self, demand: dict[str, float]) -> str:
        return "" if self.node["CPU"] >= demand["CPU"] else "a trial needs 64 CPU"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the autoscaler says, and the time."""
    said: dict[str, Any] = {"autoscaler": None, "now": 0.0}
    monkeypatch.setattr(room, "autoscaler", lambda _: said["autoscaler"])
    monkeypatch.setattr(room, "now", lambda: said["now"])
    return said


def room_of(cluster: MadeUp, wait: Any = None) -> room.Room:
    briefing: Any = SimpleNamespace(demand=DEMAND, native=SimpleNamespace(wait=wait))
    return room.Room(cluster, briefing)  # type: ignore[arg-type]


def test_a_cluster_of_fixed_size_is_not_waited_for(told: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match=r"a trial needs 64 CPU; ask for less"):
        room_of(MadeUp()).check(first=True)
    later = room_of(MadeUp())
    later.check()
    told["now"] = 5.0
    with pytest.raises(ProviderError, match="64 CPU"):
        later.check()


def test_a_cluster_that_grows_is_waited_for_as_long_as_it_starts_nodes(told: dict[str, Any]) -> None:
    cluster = MadeUp()
    asked = room_of(cluster)
    told["autoscaler"] = Autoscaler({})
    asked.check(first=True)
    assert asked.awaited() == "a node that fits: a trial needs 64 CPU"
    told |= {"now": 50.0, "autoscaler": Autoscaler({"big": 1})}
    asked.check()
    assert asked.awaited() == "a node that fits: a trial needs 64 CPU; its autoscaler starts 1 of big"
    told["now"] = 500.0
    asked.check()
    told |= {"now": 550.0, "autoscaler": Autoscaler({})}
    asked.check()
    cluster.node["CPU"] = 64.0
    asked.check()
    assert asked.awaited() == "64 CPU to be free"
    cluster.node["CPU"] = 2.0
    told["now"] = 600.0
    asked.check()
    told["now"] = 660.0
    with pytest.raises(ProviderError, match=r"64 CPU, and its autoscaler starts none for it; ask for less"):
        asked.check()


# Statuses as Ray 2.60 writes them

FIXED = {"active_nodes": {"node_53ab": 1}, "pending_nodes": [], "pending_launches": {}, "node_type_mapping": {}}
GROWS = {**FIXED, "active_nodes": {}, "node_type_mapping": {"ffff": "ray.head.default"}}
STARTS = {**GROWS, "pending_launches": {"big": 1}, "pending_nodes": [["10.0.0.7", "big", "setting-up"]]}


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ({}, None),
        ({"autoscaler_report": None}, None),
        ({"autoscaler_report": FIXED}, None),
        ({"autoscaler_report": GROWS}, Autoscaler({})),
        ({"autoscaler_report": STARTS}, Autoscaler({"big": 2})),
    ],
)
def test_a_cluster_that_something_makes_grow_is_known_by_its_status(
    status: dict[str, Any], found: Autoscaler | None
) -> None:
    assert first(status) == found
