"""Which permissions a call takes, read from the call itself, and whether a custom role has them.

A method of a service of Google's takes the permission of its name: ``CreateCustomJob`` takes
``aiplatform.customJobs.create`` on its parent. What else some take is from "Access control with IAM" of Vertex AI, "IAM
permissions for JSON methods" of Cloud Storage and "Access control with IAM" of Cloud Logging.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.emulation.authority import Ask

_CALL = re.compile(r"(Create|Get|List|Cancel|Delete)(CustomJob|HyperparameterTuningJob|PersistentResource)s?")
VIZIER: Mapping[str, tuple[str, str]] = {
    "CreateStudy": ("studies.create", "parent"),
    "GetStudy": ("studies.get", "name"),
    "LookupStudy": ("studies.get", "parent"),
    "ListStudies": ("studies.list", "parent"),
    "DeleteStudy": ("studies.delete", "name"),
    "CreateTrial": ("trials.create", "parent"),
    "SuggestTrials": ("trials.create", "parent"),
    "GetTrial": ("trials.get", "name"),
    "ListTrials": ("trials.list", "parent"),
    "ListOptimalTrials": ("trials.list", "parent"),
    "DeleteTrial": ("trials.delete", "name"),
    "AddTrialMeasurement": ("trials.update", "trial_name"),
    "CompleteTrial": ("trials.update", "name"),
    "StopTrial": ("trials.update", "name"),
    "CheckTrialEarlyStoppingState": ("trials.update", "trial_name"),
}
"""The permission of each call of VizierService below ``aiplatform.``, and the field of its request that names the resource.

The permissions are those of "Vertex AI IAM permissions"; which of them a call takes that is not called like one is not written
there, and is taken from what the call does.
"""

_BUCKET = re.compile(r"(?:gs://|/gcs/)([a-z0-9][a-z0-9._-]+[a-z0-9])")

_DOMAINS = {"storage": "storage.googleapis.com", "logging": "logging.googleapis.com", "iam": "iam.googleapis.com"}


class GooglePolicy:
    """Custom roles, by the resources on which a principal has them.

    Args:
        grants: by resource (``projects/P``, ``gs://BUCKET``, ``projects/P/serviceAccounts/ACCOUNT``) a mapping with the
            ``role``; or one role, which is then granted everywhere.

    Raises:
        ValueError: a role has no ``includedPermissions``.
    """

    def __init__(self, grants: Mapping[str, Any]) -> None:
        if not isinstance(grants, Mapping):
            raise ValueError("roles are given by the resource on which they are granted")  # noqa: TRY004  # of a file
        whole = {"": {"role": grants}} if "includedPermissions" in grants else grants
        self._granted = {resource: frozenset(_included(resource, grant)) for resource, grant in whole.items()}

    def allows(self, ask: Ask) -> bool:
        """Return whether a role on the resource, or on one above it, includes the permission."""
        return any(ask.action in names and _is_below(ask.resource, at) for at, names in self._granted.items())


def _included(resource: str, grant: Any) -> list[str]:
    role = grant.get("role") if isinstance(grant, Mapping) else None
    if not isinstance(role, Mapping) or not isinstance(role.get("includedPermissions"), list):
        raise ValueError(f"the role on {resource or 'everything'} has no includedPermissions")  # noqa: TRY004  # of a file
    return list(role["includedPermissions"])


def _is_below(resource: str, above: str) -> bool:
    """Return whether a role on one resource counts on another; all buckets here are in the project."""
    if not above or resource == above or resource.startswith(f"{above}/"):
        return True
    return resource.startswith("gs://") and above.startswith("projects/") and above.count("/") == 1


def asks_of(name: str, request: Any) -> Iterator[Ask]:
    """Yield the permissions that a call of Vertex AI takes, by its name and its request, a message of protobuf."""
    if name in VIZIER:
        permission, field = VIZIER[name]
        yield Ask(f"aiplatform.{permission}", getattr(request, field))
        return
    found = _CALL.fullmatch(name)
    if found is None:
        return
    verb, kind = found.groups()
    collection = f"{kind[0].lower()}{kind[1:]}s"
    place = request.name if verb in ("Get", "Cancel", "Delete") else request.parent
    yield Ask(f"aiplatform.{collection}.{verb.lower()}", place)
    if verb == "Create" and kind != "PersistentResource":
        spec = request.custom_job.job_spec if kind == "CustomJob" else request.hyperparameter_tuning_job.trial_job_spec
        if spec.service_account:
            project = "/".join(place.split("/")[:2])
            yield Ask("iam.serviceAccounts.actAs", f"{project}/serviceAccounts/{spec.service_account}")


def asks_of_trial(spec: Mapping[str, Any], output: str) -> list[Ask]:
    """Return the permissions that a job's service account takes: to mount buckets, and to write its outputs.

    Args:
        spec: the CustomJobSpec.
        output: the ``gs://`` folder of its files; "" for none.
    """
    named = dict.fromkeys(_BUCKET.findall(json.dumps(spec)) + _BUCKET.findall(output))
    reads = [Ask(f"storage.objects.{verb}", f"gs://{bucket}") for bucket in named for verb in ("list", "get")]
    target = _BUCKET.match(output)
    writes = ("create", "delete") if target is not None else ()
    return [*reads, *(Ask(f"storage.objects.{verb}", f"gs://{target[1]}") for verb in writes if target is not None)]


# The answer where a permission is denied


def message_of(ask: Ask) -> str:
    """Return what a service says of a denied permission."""
    if ask.action.startswith("storage."):
        kind = "bucket" if ask.action.startswith("storage.buckets") or ask.action.endswith(".list") else "object"
        return (
            f"The caller does not have {ask.action} access to the Google Cloud Storage {kind}. "
            f"Permission '{ask.action}' denied on resource '{ask.resource}' (or it may not exist)."
        )
    return f"Permission '{ask.action}' denied on resource '//{_domain(ask)}/{ask.resource}' (or it may not exist)."


def details_of(ask: Ask) -> dict[str, Any]:
    """Return the ``google.rpc.ErrorInfo`` of a denied permission (https://google.aip.dev/193)."""
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": _domain(ask),
        "metadata": {"permission": ask.action, "resource": ask.resource},
    }


def _domain(ask: Ask) -> str:
    return _DOMAINS.get(ask.action.partition(".")[0], "aiplatform.googleapis.com")
