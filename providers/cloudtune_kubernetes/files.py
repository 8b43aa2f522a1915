"""What trials left on a volume: a Job that mounts it prints it, packed, and is removed again."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.errors import ProviderError, TrialError, ignoring
from cloudtune.planning.plain_data import mapping, mappings
from cloudtune_kubernetes.client import EXISTS, GONE, Cluster
from cloudtune_kubernetes.logs import log_of
from cloudtune_kubernetes.names import RUN
from cloudtune_kubernetes.parse import kind_of, standing
from cloudtune_kubernetes.pod import CONTAINER, FILES
from cloudtune_kubernetes.storage import unpacked
from cloudtune_kubernetes.waiting import Waiting

_MOST = 7_000_000
"""Bytes that travel by a log, packed: a node keeps 10 MiB of each (containerLogMaxSize)."""

_WAIT = 300.0
"""Seconds within which the Job that reads has to end."""

_LOOKS = 0.2, 3.0
"""Seconds between the first looks at it, and between later ones."""

_READ = (
    '[ -d "$0" ] || exit 0; f=$(mktemp) || exit 1; tar czf "$f" -C "$0" . || exit 1; n=$(wc -c < "$f"); '
    f'if [ "$n" -gt {_MOST} ]; then echo "$n bytes"; else base64 "$f"; fi; rm -f "$f"'
)


def files_of(cluster: Cluster, request: Mapping[str, Any], run: str, trial: str, target: Path) -> list[Path]:
    """Copy what a trial left in its folder for outputs; return the copies, none where it left nothing.

    Args:
        cluster: where the volume is.
        request: of the plan: the Job of a trial.
        run: the run's name in the cluster.
        trial: the name of its folder on the volume.
        target: a folder; made if it is not there.

    Raises:
        TrialError: outputs are on no volume, or too large for a log.
        ProviderError: the cluster cannot be reached, or refuses.
    """
    spec = mapping(mapping(mapping(request.get("spec")).get("template")).get("spec"))
    volume = next((each for each in mappings(spec.get("volumes")) if each.get("name") == "files"), {})
    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if claim is None:
        raise TrialError("outputs of the run's trials ended with their pods; keep them by output: pvc://CLAIM/FOLDER")
    place = next(each["value"] for each in spec["containers"][0]["env"] if each["name"] == "CLOUDTUNE_FILES")
    folder = f"{place.replace('${run}', run)}/{trial}/output"
    lines = _printed(cluster, _reader(request, run, trial, folder), run)
    if lines and lines[0].endswith(" bytes"):
        hint = f"{folder.removeprefix(FILES)} of the claim {claim}; copy it with kubectl cp from a pod that mounts it"
        raise TrialError(f"trial {trial} left {lines[0]}, more than a log carries ({_MOST}): it is in {hint}")
    return unpacked(lines, target) if lines else []


def _reader(request: Mapping[str, Any], run: str, trial: str, folder: str) -> dict[str, Any]:
    """Return the Job that prints a folder of the volume of a trial's Job."""
    spec = request["spec"]["template"]["spec"]
    container = spec["containers"][0]
    kept = ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations", "securityContext")
    reading = {
        "name": CONTAINER,
        "image": container["image"],
        "command": ["sh", "-c", _READ, folder],
        "env": [{"name": "CLOUDTUNE_FILES", "value": folder}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [each for each in container["volumeMounts"] if each["name"] == "files"],
    }
    pod = {
        **{name: spec[name] for name in kept if name in spec},
        "restartPolicy": "Never",
        "containers": [reading],
        "volumes": [each for each in spec["volumes"] if each["name"] == "files"],
    }
    labels = {RUN: f"{run}.files"}
    name = trial if trial.startswith(run) else f"{run}-{trial}"  # Katib's trials begin with the run's name
    return {
        "metadata": {"name": f"{name[:57]}-files", "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 600,
            "activeDeadlineSeconds": int(_WAIT),
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _printed(cluster: Cluster, job: dict[str, Any], run: str) -> list[str]:
    """Run a Job; return the lines that it printed."""
    name, jobs = job["metadata"]["name"], cluster.path("jobs")
    with ignoring(EXISTS):
        cluster.call(f"making {name}", "POST", jobs, {"fieldValidation": "Strict"}, job)
    try:
        return _waited(cluster, name, run)
    finally:
        with ignoring(GONE):
            options = {"propagationPolicy": "Background"}
            cluster.call(f"removing {name}", "DELETE", cluster.path("jobs", name), body=options)


def _waited(cluster: Cluster, name: str, run: str) -> list[str]:
    began, pause = time.monotonic(), _LOOKS[0]
    waiting = Waiting()
    query = {"labelSelector": f"{RUN}={run}.files,batch.kubernetes.io/job-name={name}"}
    while True:
        job = cluster.call(f"looking at {name}", "GET", cluster.path("jobs", name))
        pods = cluster.call(f"looking at {name}", "GET", cluster.path("pods"), query)["items"]
        stands = standing(job, pods)
        if stands.state.ended and not stands.reason:
            return log_of(cluster, stands.pod)
        told = waiting.see(cluster, name, stands)
        spent = waiting.too_long(cluster.settings)
        stuck = stands.wait == "starting" and kind_of(stands.reason) != "image"
        late = time.monotonic() - began > _WAIT
        if stands.state.ended or spent or stuck or late:
            why = stands.reason or spent or (told and f"it waited for {told}") or "it did not end in time"
            raise ProviderError(f"{name}, which reads the volume, failed: {why}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LOOKS[1])
