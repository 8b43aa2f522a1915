"""The scheduler: gives waiting pods to nodes with room, by priority and age, and says why one cannot be given."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.events import Events
from cloudtune_kubernetes.emulator.kinds import NODE, POD, PVC
from cloudtune_kubernetes.emulator.nodes import requests_of, unfit
from cloudtune_kubernetes.emulator.store import Change, Object, Place, Store, place_of

_NAME = "default-scheduler"


class Scheduler:
    """Schedules pods.

    Args:
        store: of the cluster.
        events: takes what it says.
        lenient: whether nodes have every label and every extended resource that a pod asks for.
        claim: called with the namespace and name of a claim that a pod names; returns whether it exists now.
    """

    def __init__(self, store: Store, events: Events, *, lenient: bool, claim: Callable[[str, str], bool]) -> None:
        self._store, self._events, self._lenient, self._claim = store, events, lenient, claim
        self._waiting: dict[Place, None] = {}
        self._used: dict[str, dict[str, dict[str, Decimal]]] = {}  # by node, by pod

    def note(self, change: Change) -> None:
        """Note a change of a pod; called while the store's lock is held."""
        pod, place = change.now, place_of(change.now)
        node, uid = pod["spec"].get("nodeName", ""), pod["metadata"]["uid"]
        over = change.kind == "DELETED" or pod["status"].get("phase") in ("Succeeded", "Failed")
        if over or node or pod["spec"].get("schedulerName") != _NAME:
            self._waiting.pop(place, None)
        else:
            self._waiting[place] = None
        if node:
            held = self._used.setdefault(node, {})
            if over:
                held.pop(uid, None)
            elif uid not in held:
                held[uid] = requests_of(pod["spec"])

    def used(self, node: str) -> dict[str, Decimal]:
        """Return what the pods on a node have asked for."""
        total: dict[str, Decimal] = {}
        for each in self._used.get(node, {}).values():
            for name, value in each.items():
                total[name] = total.get(name, Decimal(0)) + value
        return total

    def run(self) -> None:
        """Give every waiting pod to a node that has room."""
        if not self._waiting:
            return
        with self._store.lock:
            waiting = [self._store.get(POD, *place) for place in self._waiting]
            ordered = sorted(
                (pod for pod in waiting if pod is not None and "deletionTimestamp" not in pod["metadata"]),
                key=lambda pod: (
                    -pod["spec"].get("priority", 0),
                    pod["metadata"]["creationTimestamp"],
                    int(pod["metadata"]["resourceVersion"]),
                ),
            )
            used = {node["metadata"]["name"]: self.used(node["metadata"]["name"]) for node in self._store.objects(NODE)}
            for pod in ordered:
                self._schedule(pod, used)

    def _schedule(self, pod: Object, used: dict[str, dict[str, Decimal]]) -> None:
        if pod["spec"].get("schedulingGates"):
            self._refuse(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates", say=False)
            return
        lacking = self._lacking_claim(pod)
        nodes = self._store.objects(NODE)
        if lacking:
            self._refuse(
                pod,
                "Unschedulable",
                f"{_none_of(nodes)}: {lacking}. preemption: {_none_of(nodes)}: {len(nodes)} Preemption is not helpful for scheduling.",
            )
            return
        reasons: Counter[str] = Counter()
        best, room = "", Decimal(-1)
        for node in nodes:
            name = node["metadata"]["name"]
            found = unfit(pod, node, used[name], lenient=self._lenient)
            reasons.update(found)
            free = -used[name].get("pods", Decimal(0))
            if not found and (not best or free > room):
                best, room = name, free
        if not best:
            self._refuse(pod, "Unschedulable", _message(nodes, reasons))
            return
        for name, value in requests_of(pod["spec"]).items():
            used[best][name] = used[best].get(name, Decimal(0)) + value
        self.bind(pod, best)

    def _lacking_claim(self, pod: Object) -> str:
        namespace = pod["metadata"]["namespace"]
        for volume in pod["spec"].get("volumes") or ():
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if name and not self._claim(namespace, name):
                return f'persistentvolumeclaim "{name}" not found'
            if name and (self._store.get(PVC, namespace, name) or {}).get("status", {}).get("phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def bind(self, pod: Object, node: str) -> None:
        """Give a pod to a node."""
        spec = {**pod["spec"], "nodeName": node}
        status = {**pod["status"], "conditions": with_condition(pod, condition("PodScheduled", "True"))}
        made = self._store.put(POD, {**pod, "spec": spec, "status": status})
        namespace, name = place_of(made)
        self._events.say(made, "Scheduled", f"Successfully assigned {namespace}/{name} to {node}", component=_NAME)

    def _refuse(self, pod: Object, reason: str, message: str, *, say: bool = True) -> None:
        made = condition("PodScheduled", "False", reason, message)
        held = [each for each in pod["status"].get("conditions") or () if each["type"] == "PodScheduled"]
        if held and (held[0].get("reason"), held[0].get("message")) == (reason, message):
            return
        status = {**pod["status"], "conditions": with_condition(pod, made)}
        stored = self._store.put(POD, {**pod, "status": status})
        if say:
            self._events.say(stored, "FailedScheduling", message, component=_NAME, kind="Warning")


def _none_of(nodes: Iterable[Object]) -> str:
    return f"0/{len(list(nodes))} nodes are available"


def _message(nodes: list[Object], reasons: Mapping[str, int]) -> str:
    said = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items())) or "no nodes"
    victims = (
        f"{len(nodes)} No preemption victims found for incoming pod"
        if any("Insufficient" in each for each in reasons)
        else f"{len(nodes)} Preemption is not helpful for scheduling"
    )
    return f"{_none_of(nodes)}: {said}. preemption: {_none_of(nodes)}: {victims}."


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    """Return a condition of a pod."""
    return {
        "type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": times.now(),
        **({"reason": reason} if reason else {}), **({"message": message} if message else {}),
    }  # fmt: skip


def with_condition(pod: Object, made: Object) -> list[Object]:
    """Return a pod's conditions with one of them new; its time stays where its status does."""
    held = list(pod["status"].get("conditions") or ())
    for at, each in enumerate(held):
        if each["type"] == made["type"]:
            since = each["lastTransitionTime"] if each["status"] == made["status"] else made["lastTransitionTime"]
            held[at] = {**made, "lastTransitionTime": since}
            return held
    return [*held, made]
