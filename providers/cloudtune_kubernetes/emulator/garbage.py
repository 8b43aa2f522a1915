"""The garbage collector: deletes what belongs to deleted owners, or lets it go (k8s.io/kubernetes/pkg/controller/garbagecollector)."""

from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.kinds import Kind
from cloudtune_kubernetes.emulator.registry import Options, Registry
from cloudtune_kubernetes.emulator.store import Change, Object, Place, place_of


class Garbage:
    """Collects garbage.

    Args:
        registry: the objects of the cluster.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._dependents: dict[str, dict[tuple[Kind, Place], None]] = {}  # by the uid of their owner
        self._uids: set[str] = set()

    def note(self, kind: Kind, change: Change) -> None:
        """Note a change; called while the store's lock is held."""
        meta, at = change.now["metadata"], (kind, place_of(change.now))
        before = owners_of(change.before) if change.before is not None else set()
        now = owners_of(change.now) if change.kind != "DELETED" else set()
        for uid in before - now:
            held = self._dependents.get(uid, {})
            held.pop(at, None)
            if not held:
                self._dependents.pop(uid, None)
        for uid in now:
            self._dependents.setdefault(uid, {})[at] = None
        if change.kind == "DELETED":
            self._uids.discard(meta["uid"])
        else:
            self._uids.add(meta["uid"])

    def dependents(self, uid: str) -> list[tuple[Kind, Object]]:
        """Return the objects that an owner has, the oldest first."""
        store = self._registry.store
        with store.lock:
            found = [(kind, store.get(kind, *place)) for kind, place in self._dependents.get(uid, ())]
        return [(kind, each) for kind, each in found if each is not None]

    def collect(self, uid: str) -> None:
        """Delete what an owner that is gone has left, unless another owner has it as well."""
        for kind, each in self.dependents(uid):
            self._unless_owned(kind, each)

    def _unless_owned(self, kind: Kind, each: Object) -> None:
        if not (owners_of(each) & self._uids) and "deletionTimestamp" not in each["metadata"]:
            self._delete(kind, each, "Background")

    def need_owner(self, kind: Kind, place: Place) -> None:
        """Delete an object whose owners do not exist."""
        store = self._registry.store
        with store.lock:
            found = store.get(kind, *place)
            if found is not None and owners_of(found):
                self._unless_owned(kind, found)

    def finish(self, kind: Kind, place: Place) -> None:
        """Do what the finalizers of a deletion ask for: orphan the dependents, or delete them first."""
        store = self._registry.store
        with store.lock:
            held = store.get(kind, *place)
            finalizers = (held or {}).get("metadata", {}).get("finalizers") or ()
            if held is None:
                return
            dependents = self.dependents(held["metadata"]["uid"])
            if "orphan" in finalizers:
                for own, each in dependents:
                    self._orphan(own, each, held["metadata"]["uid"])
                self._registry.settle(kind, without(held, "orphan"))
            elif "foregroundDeletion" in finalizers:
                blocking = [(own, each) for own, each in dependents if _blocks(each, held["metadata"]["uid"])]
                for own, each in dependents:
                    if "deletionTimestamp" not in each["metadata"]:
                        self._delete(
                            own, each, "Foreground" if self.dependents(each["metadata"]["uid"]) else "Background"
                        )
                if not blocking or not any(store.get(own, *place_of(each)) for own, each in blocking):
                    self._registry.settle(kind, without(held, "foregroundDeletion"))

    def _orphan(self, kind: Kind, each: Object, uid: str) -> None:
        meta = dict(each["metadata"])
        left = [owner for owner in meta.get("ownerReferences") or () if owner["uid"] != uid]
        if left:
            meta["ownerReferences"] = left
        else:
            meta.pop("ownerReferences", None)
        self._registry.store.put(kind, {**each, "metadata": meta})

    def _delete(self, kind: Kind, each: Object, policy: str) -> None:
        try:
            self._registry.delete(kind, *place_of(each), Options(propagation=policy, uid=each["metadata"]["uid"]))
        except Refused:
            return  # it has gone meanwhile


def owners_of(each: Object) -> set[str]:
    """Return the uids of an object's owners."""
    return {owner["uid"] for owner in each["metadata"].get("ownerReferences") or ()}


def _blocks(each: Object, uid: str) -> bool:
    return any(
        owner["uid"] == uid and owner.get("blockOwnerDeletion")
        for owner in each["metadata"].get("ownerReferences") or ()
    )


def without(each: Object, finalizer: str) -> Object:
    """Return an object without a finalizer."""
    meta = dict(each["metadata"])
    left = [name for name in meta.get("finalizers") or () if name != finalizer]
    if left:
        meta["finalizers"] = left
    else:
        meta.pop("finalizers", None)
    return {**each, "metadata": meta}
