"""The least Roles that a profile needs: of who drives runs from elsewhere, and of the service account of a driver in the cluster.

What calls take which verb is said in ``permissions.csv``. Trials call nothing, so their service account needs no role. To ask
what is allowed (SelfSubjectAccessReview) and for the version every user may (the roles system:basic-user and
system:public-info-viewer).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cloudtune.provider.permissions import Mode, permissions, read_needs
from cloudtune_kubernetes.settings import KubernetesSettings

_GROUP, _DRIVER = "rbac.authorization.k8s.io", "cloudtune-driver"

_TABLE = Path(__file__).with_name("permissions.csv")


def rules(mode: Mode | None = None, *, driving: bool = False) -> list[tuple[str, str, Sequence[str]]]:
    """Return the group of the API, the resource and the verbs of each rule.

    Args:
        mode: the only mode of the runs; None for both.
        driving: whether to return only those of a driver, which looks at no profile and starts each run once.
    """
    needs = [need for need in read_needs(_TABLE) if not driving or need.use != "check"]
    needed = permissions(needs, "caller", mode)
    return [(*_parted(resource), verbs) for resource, verbs in needed.items()]


def _parted(resource: str) -> tuple[str, str]:
    group, _, name = resource.partition("/")
    return group, name


def usual(settings: KubernetesSettings) -> Mode | None:
    """Return the only mode of jobs that do not ask for one; None where they may have both."""
    return None if settings.katib else "driven"


def policies(settings: KubernetesSettings, mode: Mode | None = None) -> dict[str, Any]:
    """Return the Role of the caller, and that of a driver in the cluster with its binding, as kubectl applies them.

    Args:
        settings: of the profile.
        mode: the only mode of its runs; None for those that jobs have which do not ask for one. Drivers are of driven runs.
    """
    found = {"caller": _object("Role", settings, "cloudtune", rules=_written(rules(mode or usual(settings))))}
    return found if mode == "managed" else {**found, "identity": _of_a_driver(settings)}


def _of_a_driver(settings: KubernetesSettings) -> dict[str, Any]:
    role = _object("Role", settings, _DRIVER, rules=_written(rules("driven", driving=True)))
    if settings.namespace is None:  # which the account of a binding has to name
        return role
    account = settings.driver_account or settings.service_account or "default"
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": settings.namespace}]
    reference = {"apiGroup": _GROUP, "kind": "Role", "name": _DRIVER}
    binding = _object("RoleBinding", settings, _DRIVER, subjects=subjects, roleRef=reference)
    return {"apiVersion": "v1", "kind": "List", "items": [role, binding]}


def _object(kind: str, settings: KubernetesSettings, name: str, **content: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": settings.namespace} if settings.namespace else {})}
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": metadata, **content}


def _written(rules: Iterable[tuple[str, str, Sequence[str]]]) -> list[dict[str, Any]]:
    return [{"apiGroups": [group], "resources": [resource], "verbs": list(verbs)} for group, resource, verbs in rules]
