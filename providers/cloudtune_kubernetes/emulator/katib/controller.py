"""Katib in a cluster: its definitions, its webhook, and its controllers."""

from pathlib import Path

from cloudtune_kubernetes.emulator.cluster import Cluster
from cloudtune_kubernetes.emulator.control import Task
from cloudtune_kubernetes.emulator.katib.experiments import Experiments
from cloudtune_kubernetes.emulator.katib.resources import (
    EXPERIMENT,
    EXPERIMENT_LABEL,
    INJECTED,
    KINDS,
    TRIAL,
    TRIAL_LABEL,
    definition,
)
from cloudtune_kubernetes.emulator.katib.rules import check, default
from cloudtune_kubernetes.emulator.katib.trials import Trials
from cloudtune_kubernetes.emulator.kinds import CRD, JOB, NAMESPACE, POD, Kind
from cloudtune_kubernetes.emulator.store import Change, Object, place_of


class Katib:
    """Katib's control plane.

    Args:
        cluster: which it is installed in.
        folder: of the cluster on this machine.
        lenient: whether trials of all namespaces are measured.
        seed: of the searches; None for any.
    """

    def __init__(self, cluster: Cluster, folder: Path, seed: int | None, *, lenient: bool = False) -> None:
        self._cluster = cluster
        self._seeds = iter(range(seed, seed + 1_000_000)) if seed is not None else None
        registry = cluster.registry
        self._trials = Trials(
            registry, output=lambda pod, asked: iter(cluster.logs(pod, asked, _never)),
            volumes=lambda uid: folder / "pods" / uid / "volumes", lenient=lenient,
        )  # fmt: skip
        self._experiments = Experiments(
            registry, seed=self._seed, history=self._trials.history, claims=cluster.claim_folder
        )
        for kind in KINDS:
            registry.kinds.add(kind)
        registry.admission[EXPERIMENT] = self._admit
        cluster.add(self._asked, {"experiment": self._experiments.reconcile, "trial": self._trials.reconcile})

    def install(self, namespace: str) -> None:
        """Make the definitions of its kinds, and have trials of a namespace measured."""
        for kind in KINDS:
            self._cluster.registry.create(CRD, "", definition(kind))
        store, (key, value) = self._cluster.registry.store, INJECTED
        with store.lock:
            held = store.get(NAMESPACE, "", namespace)
            assert held is not None  # the cluster has furnished it
            labels = {**(held["metadata"].get("labels") or {}), key: value}
            store.put(NAMESPACE, {**held, "metadata": {**held["metadata"], "labels": labels}})

    def _seed(self) -> int | None:
        return None if self._seeds is None else next(self._seeds)

    @staticmethod
    def _admit(made: Object, before: Object | None) -> None:
        default(made)
        check(made, before)

    def _asked(self, kind: Kind, change: Change) -> list[Task]:
        """Return what a change asks for; the store's lock is held."""
        meta, place = change.now["metadata"], place_of(change.now)
        labels = meta.get("labels") or {}
        if change.kind == "DELETED" and kind in (EXPERIMENT, TRIAL):
            (self._experiments if kind == EXPERIMENT else self._trials).forget(meta["uid"])
        if kind == EXPERIMENT:
            return [("experiment", *place)]
        if kind == TRIAL:
            return [("trial", *place), ("experiment", place[0], labels.get(EXPERIMENT_LABEL, ""))]
        if kind in (JOB, POD) and TRIAL_LABEL in labels:
            return [("trial", place[0], labels[TRIAL_LABEL])]
        return []


def _never() -> bool:
    return False
