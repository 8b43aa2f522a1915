"""What can be done with objects, as the API server does it: create, read, update, patch and delete, with all their rules."""

import copy
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudtune_kubernetes.emulator import defaults, errors, patches, times
from cloudtune_kubernetes.emulator.apply import applied
from cloudtune_kubernetes.emulator.kinds import (
    CRD,
    EVENT,
    JOB,
    NAMESPACE,
    NODE,
    POD,
    PRIORITY_CLASS,
    PVC,
    SERVICE_ACCOUNT,
    Kind,
    Kinds,
)
from cloudtune_kubernetes.emulator.model import Reading, read
from cloudtune_kubernetes.emulator.selectors import Matches
from cloudtune_kubernetes.emulator.store import Object, Store
from cloudtune_kubernetes.emulator.validation import validate, validate_update

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer by which a job counts its pods before they go."""

PROTECTION = "kubernetes.io/pvc-protection"
_PATCH_OPTIONS = Kind("meta.k8s.io", "v1", "PatchOptions", "patchoptions")
_ORPHANED = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_SYSTEM = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
"""Members of the metadata that only the server writes."""


@dataclass(slots=True)
class Options:
    """The options of a write.

    Attributes:
        dry_run: whether nothing is stored.
        validation: of unknown fields: Ignore, Warn or Strict.
        propagation: of a deletion: Background, Foreground or Orphan; "" for the kind's default.
        grace: seconds of a deletion's grace period; None for the object's own.
        uid: that the object must have; "" for any.
        revision: that the object must have; "" for any.
        warnings: messages for the client.
    """

    dry_run: bool = False
    validation: str = "Warn"
    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    revision: str = ""
    warnings: list[str] = field(default_factory=list)


class Registry:
    """The objects of a cluster behind the API.

    Args:
        store: keeps them.
        kinds: that are served.
        missing: called with the kind, the namespace and the name of something that an object names and that is not
            there; returns it if it has made it.

    Attributes:
        admission: called, by kind, with each new or changed object and the one before, None for none, before it is stored;
            may change it, or raise `Refused`.
    """

    def __init__(
        self, store: Store, kinds: Kinds, missing: Callable[[Kind, str, str], Object | None] = lambda *_: None
    ) -> None:
        self.store, self.kinds, self._missing = store, kinds, missing
        self.admission: dict[Kind, Callable[[Object, Object | None], None]] = {}

    def _find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.store.get(kind, namespace, name) or self._missing(kind, namespace, name)

    # Reading

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object.

        Raises:
            Refused: there is none.
        """
        found = self.store.get(kind, namespace, name)
        if found is None:
            raise errors.not_found(kind, name)
        return found

    def select(self, kind: Kind, namespace: str, holds: Matches) -> list[Object]:
        """Return the selected objects of a namespace, "" for all."""
        return [each for each in self.store.objects(kind, namespace) if holds(each)]

    # Creating

    def create(self, kind: Kind, namespace: str, data: Any, options: Options | None = None) -> Object:
        """Store a new object, and return it.

        Raises:
            Refused: it is not valid, it exists already, or its namespace does not.
        """
        options = options or Options()
        made = copy.deepcopy(self._read(kind, data, options))
        self._name(kind, namespace, made)
        with self.store.lock:
            self._need_namespace(kind, namespace, made["metadata"].get("name", ""))
            self._prepare(kind, namespace, made)
            causes = validate(kind, made)
            if causes:
                raise errors.invalid(kind, made["metadata"].get("name", ""), causes)
            if kind == JOB:
                defaults.take_labels(made)
            name = made["metadata"]["name"]
            if self.store.get(kind, namespace, name) is not None:
                raise errors.exists(kind, name)
            if kind in self.admission:
                self.admission[kind](made, None)
            return made if options.dry_run else self.store.put(kind, made)

    def _read(self, kind: Kind, data: Any, options: Options) -> Object:
        if isinstance(data, dict):
            self._need_kind(kind, data)
        reading = Reading()
        made = read(kind, data, reading)
        if reading.unknown and options.validation == "Strict":
            said = ", ".join(reading.unknown)
            raise errors.bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: {said}'
            )
        if options.validation == "Warn":
            options.warnings += reading.unknown
        return {"kind": kind.kind, "apiVersion": kind.api_version, **made, "metadata": made.get("metadata") or {}}

    @staticmethod
    def _need_kind(kind: Kind, data: Mapping[str, Any]) -> None:
        version, name = data.get("apiVersion", kind.api_version), data.get("kind", kind.kind)
        head = f'{name} in version "{version.rpartition("/")[2]}" cannot be handled as a {kind.kind}'
        if version != kind.api_version:
            scheme = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
            raise errors.bad_request(
                f'{head}: no kind "{name}" is registered for version "{version}" in scheme "{scheme}"'
            )
        if name != kind.kind:
            inner = f"{kind.group.partition('.')[0] or 'core'}.{kind.kind}"
            raise errors.bad_request(f"{head}: converting (v1.{name}) to ({inner}): unknown conversion")

    def _name(self, kind: Kind, namespace: str, made: Object) -> None:
        meta = made["metadata"]
        if kind.namespaced and meta.get("namespace", namespace) != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if not meta.get("name") and meta.get("generateName"):
            most = 63 - 5 if kind in (POD, JOB) else 253 - 5
            meta["name"] = f"{meta['generateName'][:most]}{defaults.random_part()}"
        if kind.namespaced:
            meta["namespace"] = namespace
        else:
            meta.pop("namespace", None)

    def _need_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        found = self._find(NAMESPACE, "", namespace)
        if found is None:
            raise errors.not_found(NAMESPACE, namespace)
        if found["status"]["phase"] == "Terminating" and kind != EVENT:
            raise errors.terminating(kind, name, namespace)

    def _prepare(self, kind: Kind, namespace: str, made: Object) -> None:
        """Write what the server writes into a new object."""
        meta = made["metadata"]
        for name in (*_SYSTEM, "resourceVersion", "managedFields"):
            meta.pop(name, None)
        meta["uid"], meta["creationTimestamp"] = str(uuid.uuid4()), times.now()
        if kind in (JOB, POD) or kind.model == "" or kind == CRD:
            meta["generation"] = 1
        if kind.has_status and kind != POD:
            made.pop("status", None)
        if kind == PVC:
            meta["finalizers"] = [*(meta.get("finalizers") or ()), PROTECTION]
        if kind == POD:
            made.pop("status", None)
        defaults.default(kind, made)
        if kind == NODE:
            taints = made.setdefault("spec", {}).setdefault("taints", [])
            taints.append({"key": defaults.NOT_READY[0], "effect": "NoSchedule"})
        if kind == JOB and meta.get("name"):
            defaults.select_own_pods(made)
        if kind == POD and made["spec"].get("containers"):
            self._admit_pod(namespace, made)

    def _admit_pod(self, namespace: str, made: Object) -> None:
        spec = made["spec"]
        account = spec.get("serviceAccountName") or "default"
        found = self._find(SERVICE_ACCOUNT, namespace, account)
        if found is None:
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise errors.forbidden(POD, made["metadata"]["name"], why)
        defaults.admit_pod(made, found, self._priority(made))
        made["status"] = {"phase": "Pending", "qosClass": _quality(spec)}

    def _priority(self, made: Object) -> tuple[int, str, str]:
        name = made["spec"].get("priorityClassName", "")
        if not name:
            for each in self.store.objects(PRIORITY_CLASS):
                if each.get("globalDefault"):
                    return each["value"], each.get("preemptionPolicy", "PreemptLowerPriority"), each["metadata"]["name"]
            return 0, "PreemptLowerPriority", ""
        found = self._find(PRIORITY_CLASS, "", name)
        if found is None:
            raise errors.forbidden(POD, made["metadata"]["name"], f"no PriorityClass with name {name} was found")
        return found["value"], found.get("preemptionPolicy", "PreemptLowerPriority"), name

    # Changing

    def update(self, kind: Kind, namespace: str, name: str, data: Any, options: Options, part: str = "") -> Object:
        """Replace an object, or its status, and return it.

        Raises:
            Refused: there is none, it has changed meanwhile, or the change is not valid.
        """
        made = self._read(kind, data, options)
        if made["metadata"].get("name", name) != name:
            raise errors.bad_request(
                f"the name of the object ({made['metadata'].get('name')}) does not match the name on the URL ({name})"
            )
        with self.store.lock:
            return self._change(kind, self.get(kind, namespace, name), made, options, part)

    def patch(
        self, kind: Kind, namespace: str, name: str, patch: Callable[[Object], Any], options: Options, part: str = ""
    ) -> Object:
        """Change an object, or its status, by a function, and return it.

        Raises:
            Refused: there is none, or the change is not valid.
        """
        with self.store.lock:
            before = self.get(kind, namespace, name)
            made = self._read(kind, patch(before), options)
            return self._change(kind, before, made, options, part)

    def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        given: Any,
        query: Mapping[str, str],
        options: Options,
        part: str = "",
    ) -> tuple[Object, bool]:
        """Apply a configuration to an object, or make it; return it, and whether it is new.

        Raises:
            Refused: fields belong to another owner, or the change is not valid.
        """
        manager = query.get("fieldManager", "")
        if not manager:
            why = [errors.lacking("fieldManager", "is required for apply patch")]
            raise errors.invalid(_PATCH_OPTIONS, "", why)
        if not isinstance(given, dict) or (given.get("apiVersion"), given.get("kind")) != (kind.api_version, kind.kind):
            raise errors.bad_request("the configuration must have the apiVersion and kind of the object")
        if not (given.get("metadata") or {}).get("name"):
            raise errors.bad_request(
                f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )
        force = query.get("force") in ("true", "1")
        with self.store.lock:
            held = self.store.get(kind, namespace, name)
            wanted = self._read(kind, given, options)
            made = applied(kind, held, wanted, manager, force=force)
            if held is None:
                stored = self.create(kind, namespace, made, options)
                stored = {
                    **stored,
                    "metadata": {**stored["metadata"], "managedFields": made["metadata"]["managedFields"]},
                }
                return (stored if options.dry_run else self.store.put(kind, stored)), True
            made["metadata"].pop("resourceVersion", None)
            return self._change(kind, held, made, options, part), False

    def _change(self, kind: Kind, before: Object, made: Object, options: Options, part: str) -> Object:
        meta, held = dict(made["metadata"]), before["metadata"]
        given = meta.get("resourceVersion", "")
        if given and given != held["resourceVersion"]:
            raise errors.conflict(kind, held["name"])
        if meta.get("uid", held["uid"]) != held["uid"]:
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {held['uid']}"
            raise errors.conflict(kind, held["name"], why)
        for name in (*_SYSTEM, "name", "namespace", "resourceVersion", "generateName"):
            meta.pop(name, None)
            if name in held:
                meta[name] = held[name]
        made = {**made, "metadata": meta}
        if part == "status":
            made = {
                **before,
                "status": made.get("status", {}),
                "metadata": {**held, **_only(meta, ("annotations", "labels"))},
            }
        else:
            made = copy.deepcopy(made)
            _keep_status(kind, made, before)
            defaults_of_change(kind, made, before)
            causes = validate_update(kind, made, before)
            if causes:
                raise errors.invalid(kind, held["name"], causes)
            if kind in self.admission:
                self.admission[kind](made, before)
            if "generation" in held and made.get("spec") != before.get("spec"):
                meta = {**made["metadata"], "generation": held["generation"] + 1}
                made["metadata"] = meta
        return made if options.dry_run else self.settle(kind, made)

    def settle(self, kind: Kind, made: Object) -> Object:
        """Store a changed object, or remove it if it was only kept by finalizers that are gone now."""
        meta = made["metadata"]
        with self.store.lock:
            if (
                "deletionTimestamp" in meta
                and not meta.get("finalizers")
                and not meta.get("deletionGracePeriodSeconds")
            ):
                self.store.put(kind, made)
                removed = self.store.remove(kind, meta.get("namespace", ""), meta["name"])
                return removed or made
            return self.store.put(kind, made)

    # Deleting

    def delete(self, kind: Kind, namespace: str, name: str, options: Options) -> tuple[Object, bool]:
        """Delete an object, or begin to; return it as it was last, and whether it is gone.

        Raises:
            Refused: there is none, or it is another one than the preconditions name.
        """
        with self.store.lock:
            held = self.get(kind, namespace, name)
            self._need_same(kind, held, options)
            if options.dry_run:
                return held, True
            made = self._marked(kind, copy.deepcopy(held), options)
            meta = made["metadata"]
            if kind == NAMESPACE:
                del meta["deletionGracePeriodSeconds"]
                return self.store.put(kind, {**made, "status": {"phase": "Terminating"}}), False
            if meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
                return self.store.put(kind, made), False
            removed = self.store.remove(kind, namespace, name, made if kind == POD else None)
            assert removed is not None
            return removed, True

    def _need_same(self, kind: Kind, held: Object, options: Options) -> None:
        meta = held["metadata"]
        if options.uid and options.uid != meta["uid"]:
            why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). The object might have been deleted and then recreated"
            raise errors.other(kind, meta["name"], why)
        if options.revision and options.revision != meta["resourceVersion"]:
            why = f"the ResourceVersion in the precondition ({options.revision}) does not match the ResourceVersion in record ({meta['resourceVersion']}). The object might have been modified"
            raise errors.other(kind, meta["name"], why)

    def _marked(self, kind: Kind, made: Object, options: Options) -> Object:
        """Return an object marked for deletion, with the finalizers that its propagation takes."""
        meta = made["metadata"]
        grace, before = _grace(kind, made, options.grace), dict(meta)
        if "deletionTimestamp" not in meta or grace < meta.get("deletionGracePeriodSeconds", 0):
            meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"] = times.at(time.time() + grace), grace
            if "generation" in meta and "deletionTimestamp" not in before:
                meta["generation"] += 1
        policy = options.propagation
        if not policy and kind == JOB:
            policy = "Orphan"
            options.warnings.append(_ORPHANED)
        wanted = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(policy)
        kept = [each for each in meta.get("finalizers") or () if each not in ("orphan", "foregroundDeletion")]
        if wanted is not None:
            kept.append(wanted)
        meta["finalizers"] = kept
        if not kept:
            del meta["finalizers"]
        return made


def _grace(kind: Kind, made: Object, given: int | None) -> int:
    """Return the seconds that an object has before it is gone: pods alone have any, and only while they run."""
    if kind != POD or not made["spec"].get("nodeName") or made["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    return made["spec"].get("terminationGracePeriodSeconds", 30) if given is None else max(0, given)


def _keep_status(kind: Kind, made: Object, before: Object) -> None:
    if kind.has_status:
        made.pop("status", None)
        if "status" in before:
            made["status"] = before["status"]


def defaults_of_change(kind: Kind, made: Object, before: Object) -> None:
    """Write defaults into a changed object; what a job has made for itself stays."""
    if kind == JOB and isinstance(made.get("spec"), dict):
        made["spec"].setdefault("selector", before["spec"].get("selector"))
    if kind == NAMESPACE:
        made["spec"], made["status"] = before["spec"], before["status"]
        return
    status = made.get("status")
    defaults.default(kind, made)
    if status is not None:
        made["status"] = status


def _quality(spec: Mapping[str, Any]) -> str:
    """Return the quality-of-service class of a pod ("Configure Quality of Service for Pods")."""
    resources = [each.get("resources") or {} for each in [*spec["containers"], *(spec.get("initContainers") or ())]]
    given = [
        {name: value for name, value in (each.get(side) or {}).items() if name in ("cpu", "memory")}
        for each in resources
        for side in ("limits", "requests")
    ]
    if not any(given):
        return "BestEffort"
    whole = all(len(each) == 2 for each in given)
    same = all(limits == requests for limits, requests in zip(given[::2], given[1::2], strict=True))
    return "Guaranteed" if whole and same else "Burstable"


def _only(meta: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: meta[name] for name in names if name in meta}


def apply_patch(kind: Kind, content_type: str, body: Any) -> Callable[[Object], Any]:
    """Return what changes an object by a patch.

    Args:
        kind: of the object.
        content_type: which patch it is.
        body: the patch.

    Raises:
        Refused: the API has no such patch for the kind.
    """
    if content_type == "application/json-patch+json":
        return lambda held: patches.json_patch(held, body)
    if content_type == "application/merge-patch+json":
        return lambda held: patches.merge_patch(held, body)
    if content_type == "application/strategic-merge-patch+json" and kind.model:
        return lambda held: patches.strategic(held, body, kind.model)
    if content_type != "application/strategic-merge-patch+json":
        raise errors.Refused(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    known = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    message = f"the body of the request was in an unknown format - accepted media types include: {known}"
    raise errors.Refused(415, "UnsupportedMediaType", message, {})
