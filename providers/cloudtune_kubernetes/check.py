"""What a run on a cluster needs, and whether it is there."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudtune.errors import ConfigError, ProviderError, ignoring
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune_kubernetes.client import GONE, Cluster
from cloudtune_kubernetes.katib.tuner import need_katib
from cloudtune_kubernetes.policy import rules, usual
from cloudtune_kubernetes.translate import translate
from cloudtune_kubernetes.words import CLAIM

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def findings(cluster: Cluster) -> list[Finding]:
    """Look at the cluster, the namespace, what the user may do there, the volume, and whether a Job of the profile is taken."""
    found = [Finding.tried("cluster", lambda: _version(cluster))]
    if not found[0].ok:
        return found
    found.append(Finding("namespace", None, cluster.namespace))
    found.append(_katib(cluster))
    permitted = list(_permissions(cluster))
    found += permitted
    if all(each.ok for each in permitted):
        found += [Finding.tried("job", lambda: _dry_run(cluster, "jobs")), _pod(cluster)]
    return [*found, *_volume(cluster), *_storage(cluster.settings.storage)]


def _version(cluster: Cluster) -> str:
    said = cluster.call("asking for its version", "GET", "/version")
    return f"{cluster.host}, Kubernetes {said.get('gitVersion', '?')}"


def _katib(cluster: Cluster) -> Finding:
    """Look whether managed runs are possible; they need not be, unless the profile says so."""
    try:
        need_katib(cluster)
    except ProviderError as error:
        return Finding("Katib", False if cluster.settings.katib else None, str(error))
    own = "jobs whose mode is auto are its Experiments" if cluster.settings.katib else "of effect for mode: managed"
    return Finding("Katib", True, f"it is there; {own}")


def _permissions(cluster: Cluster) -> Iterator[Finding]:
    """Yield a finding for each kind of object, with the verbs that are not allowed."""
    for group, resource, verbs in rules(usual(cluster.settings)):
        try:
            denied = [verb for verb in verbs if not _may(cluster, group, resource, verb)]
        except ProviderError as error:
            yield Finding(f"permission: {resource}", ok=False, message=str(error))
            continue
        message = (
            f"may not {', '.join(denied)}; cloudtune check --policy prints the Role"
            if denied
            else f"may {', '.join(verbs)}"
        )
        yield Finding(f"permission: {resource}", ok=not denied, message=message)


def _may(cluster: Cluster, group: str, resource: str, verb: str) -> bool:
    name, _, part = resource.partition("/")
    asked = {"namespace": cluster.namespace, "group": group, "resource": name, "subresource": part, "verb": verb}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = cluster.call("asking what is allowed", "POST", _REVIEWS, body=body)
    return bool(answer["status"].get("allowed"))


def _pod(cluster: Cluster) -> Finding:
    """Look whether pods of the profile are admitted, which a Job is not judged by, where the user may ask that."""
    if not _may(cluster, "", "pods", "create"):
        return Finding("pod", None, "not tried, since you may not create pods: quotas and rules of the namespace show when a Job makes one")  # fmt: skip
    return Finding.tried("pod", lambda: _dry_run(cluster, "pods"))


def _dry_run(cluster: Cluster, kind: str) -> str:
    """Have the cluster judge a Job of the profile, or its pod, strictly, without making it."""
    plain = {
        "name": "check",
        "trial": {"image": cluster.settings.image or "registry.example.com/image:1"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "limits": {"trials": 1},
        "compute": {"spot": cluster.settings.spot is not None},
    }
    job: Any = translate(TuningJob.from_data(plain).driven(), cluster.settings).request
    request = job if kind == "jobs" else {**job["spec"]["template"], "apiVersion": "v1", "kind": "Pod"}
    request = {**request, "metadata": {**request.get("metadata", {}), "name": "cloudtune-check"}}
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    cluster.call(f"judging a {request['kind']}", "POST", cluster.path(kind), query, request)
    return "one of this profile would be taken"


def _storage(place: str | None) -> Iterator[Finding]:
    """Put an object into the profile's storage, and remove it again."""
    if place is not None:
        yield Finding.tried("storage", lambda: _stored(place))


def _stored(place: str) -> str:
    from cloudtune_kubernetes.uploading import bucket_of, in_words  # noqa: PLC0415  # few profiles have a storage

    bucket = bucket_of(place)
    with in_words(place, "putting an object there"), tempfile.NamedTemporaryFile() as file:
        bucket.put("cloudtune-check", Path(file.name))
        bucket.remove("cloudtune-check")
    return f"objects can be put into {place} from here; pods read them by their own identity"


def _volume(cluster: Cluster) -> Iterator[Finding]:
    output = cluster.settings.output
    claim = CLAIM.fullmatch(output or "")
    if output is None:
        yield Finding(
            "volume",
            None,
            'none in the profile: outputs and checkpoints end with their pods; write output = "pvc://CLAIM/FOLDER"',
        )
    if claim is not None:
        yield Finding.tried("volume", lambda: _phase(cluster, claim[1]))


def _phase(cluster: Cluster, claim: str) -> str:
    said = None
    with ignoring(GONE):
        said = cluster.call(f"looking at {claim}", "GET", cluster.path("persistentvolumeclaims", claim))
    if said is None:
        raise ConfigError(
            f"there is no claim {claim} in {cluster.namespace}; make it, or name another in the profile's output"
        )
    return f"the claim {claim} is {str(said.get('status', {}).get('phase', 'there')).lower()}"
