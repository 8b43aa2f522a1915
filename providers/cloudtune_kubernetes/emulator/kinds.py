"""The kinds of objects that the emulator serves: their names, groups, versions and subresources, as data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_UPDATES = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects.

    Attributes:
        group: of the API; "" for the core.
        version: of the group.
        kind: e.g. ``Job``.
        plural: as in paths, e.g. ``jobs``.
        namespaced: whether its objects are in namespaces.
        short: short names.
        categories: e.g. ``all``.
        subresources: with their verbs.
        model: the official client's class; "" for kinds that it does not have.
        verbs: what can be done with its objects.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[tuple[str, tuple[str, ...]], ...] = ()
    model: str = ""
    verbs: tuple[str, ...] = ALL

    @property
    def api_version(self) -> str:
        """The group and version, e.g. ``batch/v1``; ``v1`` for the core."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The plural with the group, e.g. ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """The lower-case name of one."""
        return self.kind.lower()

    @property
    def at(self) -> str:
        """The path of its group and version, e.g. ``/apis/batch/v1``."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def has_status(self) -> bool:
        """Whether its status is a subresource, so that plain updates leave it alone."""
        return any(name == "status" for name, _ in self.subresources)


_STATUS = ("status", _UPDATES)
_CREATE = ("create",)

NAMESPACE = Kind("", "v1", "Namespace", "namespaces", False, ("ns",), subresources=(_STATUS,), model="V1Namespace",
                 verbs=("create", "delete", "get", "list", "patch", "update", "watch"))  # fmt: skip
NODE = Kind("", "v1", "Node", "nodes", False, ("no",), subresources=(_STATUS,), model="V1Node")
POD = Kind(
    "", "v1", "Pod", "pods", short=("po",), categories=("all",), model="V1Pod",
    subresources=(("binding", _CREATE), ("eviction", _CREATE), ("log", ("get",)), _STATUS),
)  # fmt: skip
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", short=("cm",), model="V1ConfigMap")
SECRET = Kind("", "v1", "Secret", "secrets", model="V1Secret")
PVC = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", short=("pvc",), subresources=(_STATUS,),
           model="V1PersistentVolumeClaim")  # fmt: skip
SERVICE = Kind("", "v1", "Service", "services", short=("svc",), categories=("all",), subresources=(_STATUS,),
               model="V1Service")  # fmt: skip
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", short=("sa",), model="V1ServiceAccount",
                       subresources=(("token", _CREATE),))  # fmt: skip
EVENT = Kind("", "v1", "Event", "events", short=("ev",), model="CoreV1Event")
QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas", short=("quota",), subresources=(_STATUS,),
             model="V1ResourceQuota")  # fmt: skip
JOB = Kind("batch", "v1", "Job", "jobs", categories=("all",), subresources=(_STATUS,), model="V1Job")
NETWORK_POLICY = Kind(
    "networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", short=("netpol",), model="V1NetworkPolicy"
)
ROLE = Kind("rbac.authorization.k8s.io", "v1", "Role", "roles", model="V1Role")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", model="V1RoleBinding")
PRIORITY_CLASS = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", False, ("pc",),
                      model="V1PriorityClass")  # fmt: skip
STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", False, ("sc",), model="V1StorageClass")
CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False,
           ("crd", "crds"), ("api-extensions",), (_STATUS,), "V1CustomResourceDefinition")  # fmt: skip
ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False,
                     model="V1SelfSubjectAccessReview", verbs=_CREATE)  # fmt: skip
RULES_REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", False,
                    model="V1SelfSubjectRulesReview", verbs=_CREATE)  # fmt: skip

BUILT_IN = (
    NAMESPACE, NODE, POD, CONFIG_MAP, SECRET, PVC, SERVICE, SERVICE_ACCOUNT, EVENT, QUOTA, JOB, ROLE, ROLE_BINDING,
    NETWORK_POLICY, PRIORITY_CLASS, STORAGE_CLASS, CRD, ACCESS_REVIEW, RULES_REVIEW,
)  # fmt: skip
"""What every cluster of the emulator has."""


class Kinds:
    """The kinds of one emulator: the built-in ones, and those of custom resource definitions.

    Args:
        kinds: those at the start.
    """

    def __init__(self, kinds: Iterable[Kind] = BUILT_IN) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serve a kind from now on."""
        self._by_path = {**self._by_path, (kind.group, kind.version, kind.plural): kind}

    def remove(self, kind: Kind) -> None:
        """Serve a kind no longer."""
        self._by_path = {at: each for at, each in self._by_path.items() if each != kind}

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the kind at a path; None for none."""
        return self._by_path.get((group, version, plural))

    def named(self, api_version: str, kind: str) -> Kind | None:
        """Return the kind of an object's ``apiVersion`` and ``kind``; None for none."""
        return next((each for each in self if (each.api_version, each.kind) == (api_version, kind)), None)

    def __iter__(self) -> Any:
        return iter(self._by_path.values())

    def groups(self) -> Mapping[str, dict[str, list[Kind]]]:
        """Return the kinds by group and version."""
        found: dict[str, dict[str, list[Kind]]] = {}
        for kind in self:
            found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
        return found
