"""Checkpoints of population based training: one volume an Experiment, with a folder a trial, which begins as its parent's."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune_kubernetes.emulator.kinds import PVC
from cloudtune_kubernetes.emulator.registry import Registry

_VOLUME = "katib-checkpoints"


def claim_of(experiment: str) -> str:
    """Return the name of the claim of an Experiment's checkpoints."""
    return f"{experiment}-pbt"


def prepare(registry: Registry, namespace: str, experiment: str, owner: Mapping[str, Any]) -> None:
    """Make the claim of an Experiment's checkpoints, unless it is there."""
    if registry.store.get(PVC, namespace, claim_of(experiment)) is None:
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "5Gi"}}}
        meta = {"name": claim_of(experiment), "ownerReferences": [dict(owner)]}
        registry.create(PVC, namespace, {"metadata": meta, "spec": spec})


def inherit(folder: Path, trial: str, parent: str) -> None:
    """Make the folder of a trial below the volume's, with what its parent left; "" for no parent."""
    own = folder / trial
    if parent and (folder / parent).is_dir():
        shutil.copytree(folder / parent, own, dirs_exist_ok=True)
    own.mkdir(parents=True, exist_ok=True)


def mounted(run: dict[str, Any], experiment: str, trial: str, container: str, place: str) -> dict[str, Any]:
    """Return a trial's job whose primary container has the trial's folder at a place."""
    template = dict(run["spec"]["template"])
    pod = dict(template["spec"])
    mount = {"name": _VOLUME, "mountPath": place.rstrip("/"), "subPath": trial}
    pod["containers"] = [
        {**each, "volumeMounts": [*(each.get("volumeMounts") or ()), mount]} if each["name"] == container else each
        for each in pod["containers"]
    ]
    claim = {"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim_of(experiment)}}
    pod["volumes"] = [*(pod.get("volumes") or ()), claim]
    return {**run, "spec": {**run["spec"], "template": {**template, "spec": pod}}}
