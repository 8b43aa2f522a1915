"""The least Role that a profile needs, for the user or service account that drives runs.

What calls take which verb is said in ``permissions.csv``. Trials call nothing, so their service account needs no role. To ask
what is allowed (SelfSubjectAccessReview) and for the version every user may (the roles system:basic-user and
system:public-info-viewer).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudtune.provider.permissions import Mode, permissions, read_needs
from cloudtune_kubernetes.settings import KubernetesSettings

_TABLE = Path(__file__).with_name("permissions.csv")


def rules(mode: Mode | None = None) -> list[tuple[str, str, Sequence[str]]]:
    """Return the group of the API, the resource and the verbs of each rule.

    Args:
        mode: the only mode of the runs; None for both.
    """
    needed = permissions(read_needs(_TABLE), "caller", mode)
    return [(*_parted(resource), verbs) for resource, verbs in needed.items()]


def _parted(resource: str) -> tuple[str, str]:
    group, _, name = resource.partition("/")
    return group, name


def policies(settings: KubernetesSettings, mode: Mode | None = None) -> dict[str, Any]:
    """Return the Role of the caller, as kubectl applies it.

    Args:
        settings: of the profile.
        mode: the only mode of its runs; None for both.
    """
    metadata = {"name": "cloudtune", **({"namespace": settings.namespace} if settings.namespace else {})}
    own = [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)} for group, resource, verbs in rules(mode)
    ]
    return {
        "caller": {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": own}
    }
