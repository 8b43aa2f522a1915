"""Events of the cluster's components: equal ones are counted, and the oldest are forgotten."""

import threading
import uuid
from collections import OrderedDict
from typing import Any

from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.kinds import EVENT
from cloudtune_kubernetes.emulator.store import Object, Place, Store

_MOST = 2000
"""Events that are kept; a cluster keeps them for an hour."""


class Events:
    """Writes events.

    Args:
        store: of the cluster.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._names: OrderedDict[tuple[str, ...], tuple[str, str]] = OrderedDict()
        self._count = 0

    def say(
        self, about: Object, reason: str, message: str, *, component: str, kind: str = "Normal", field: str = ""
    ) -> None:
        """Write an event about an object, or count one more of the same.

        Args:
            about: the object.
            reason: e.g. ``FailedScheduling``.
            message: for people.
            component: who says so.
            kind: Normal or Warning.
            field: the part of the object, e.g. ``spec.containers{main}``.
        """
        meta = about["metadata"]
        key = (meta["uid"], reason, message, component, field)
        namespace = meta.get("namespace", "default")
        with self._store.lock, self._lock:
            held = self._names.get(key)
            before = self._store.get(EVENT, *held) if held is not None else None
            if before is not None:
                self._store.put(EVENT, {**before, "count": before["count"] + 1, "lastTimestamp": times.now()})
                return
            self._count += 1
            name = f"{meta['name']}.{self._count:016x}"
            self._names[key] = (namespace, name)
            said = {
                "reason": reason,
                "message": message,
                "type": kind,
                "source": {"component": component},
                "reportingComponent": component,
            }
            self._store.put(EVENT, _made(about, (namespace, name), said, field))
            while len(self._names) > _MOST:
                self._store.remove(EVENT, *self._names.popitem(last=False)[1])


def _made(about: Object, place: Place, said: dict[str, Any], field: str) -> Object:
    meta, now = about["metadata"], times.now()
    reference = {
        "kind": about["kind"], "apiVersion": about["apiVersion"], "name": meta["name"], "uid": meta["uid"],
        **({"namespace": meta["namespace"]} if "namespace" in meta else {}),
        "resourceVersion": meta["resourceVersion"], **({"fieldPath": field} if field else {}),
    }  # fmt: skip
    namespace, name = place
    return {
        "kind": "Event", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": now},
        "involvedObject": reference, **said, "firstTimestamp": now, "lastTimestamp": now, "count": 1, "eventTime": None,
        "reportingInstance": "",
    }  # fmt: skip
