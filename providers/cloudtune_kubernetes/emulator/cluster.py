"""The cluster behind the API server: its controllers, its scheduler and its nodes."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from cloudtune_kubernetes.emulator import errors
from cloudtune_kubernetes.emulator.containers import Kubelet
from cloudtune_kubernetes.emulator.control import ControlLoop, Task
from cloudtune_kubernetes.emulator.events import Events
from cloudtune_kubernetes.emulator.garbage import Garbage, without
from cloudtune_kubernetes.emulator.jobs import Jobs
from cloudtune_kubernetes.emulator.kinds import CONFIG_MAP, EVENT, JOB, NAMESPACE, NODE, POD, PVC, SERVICE_ACCOUNT, Kind
from cloudtune_kubernetes.emulator.logs import LogRequest
from cloudtune_kubernetes.emulator.names import Names
from cloudtune_kubernetes.emulator.nodes import UNREACHABLE, ready_condition
from cloudtune_kubernetes.emulator.pods import PodRunner, log_of_lost
from cloudtune_kubernetes.emulator.registry import PROTECTION, TRACKING, Options, Registry
from cloudtune_kubernetes.emulator.scheduler import Scheduler, condition, with_condition
from cloudtune_kubernetes.emulator.store import Change, Object, Place, place_of
from cloudtune_kubernetes.emulator.tables import pod_status

Controller = Callable[[Kind, Change], list[Task]]


class Cluster:
    """Runs what the objects ask for.

    Args:
        registry: the objects.
        kubelet: what containers run with.
        folder: for pods and volumes.
        lenient: whether whatever a pod names is there: claims, labels of nodes, extended resources.
        certificate: the text of the API server's certificate.

    Attributes:
        kubelets: the names of the nodes that run pods; others are but objects.
        events: takes what is said.
        loop: in which everything is reconciled.
    """

    def __init__(self, registry: Registry, kubelet: Kubelet, folder: Path, *, lenient: bool, certificate: str) -> None:
        self.registry, self._kubelet, self._folder, self._lenient = registry, kubelet, folder, lenient
        self._certificate = certificate
        self.events = Events(registry.store)
        self._garbage = Garbage(registry)
        self._scheduler = Scheduler(registry.store, self.events, lenient=lenient, claim=self._has_claim)
        self._jobs = Jobs(
            registry, self.events, pods_of=self._pods_of, backoff=kubelet.backoff,
            later=lambda namespace, name, seconds: self.loop.later(("job", namespace, name), seconds),
        )  # fmt: skip
        self._names = Names(folder / "hosts")
        self._runners: dict[str, PodRunner] = {}
        self._lock = threading.Lock()
        self._addresses = 0
        self._dead: set[str] = set()
        self.kubelets: set[str] = set()
        self._further: list[Controller] = []
        self._tasks: dict[str, Callable[..., None]] = {
            "job": self._jobs.reconcile, "schedule": self._scheduler.run, "pod": self._pod, "collect": self._garbage.collect,
            "owner": self._garbage.need_owner, "finish": self._garbage.finish, "namespace": self._namespace,
            "claim": self._claim, "gone": self._gone,
        }  # fmt: skip
        self.loop = ControlLoop(registry.store, self._asked, lambda task: self._tasks[task[0]](*task[1:]))

    def add(self, controller: Controller, tasks: dict[str, Callable[..., None]]) -> None:
        """Add a controller: what it asks for on a change, and how its tasks are done."""
        self._further.append(controller)
        self._tasks |= tasks

    def start(self) -> None:
        """Start to run things."""
        self.loop.start()

    def close(self) -> None:
        """End everything at once."""
        self.loop.close()
        with self._lock:
            runners, self._runners = list(self._runners.values()), {}
        for runner in runners:
            runner.stop(0)
        for runner in runners:
            runner.close()

    # What changes ask for; the store's lock is held

    def _asked(self, kind: Kind, change: Change) -> list[Task]:
        if kind == EVENT:
            return []
        self._garbage.note(kind, change)
        meta, place = change.now["metadata"], place_of(change.now)
        tasks: list[Task] = [task for controller in self._further for task in controller(kind, change)]
        if change.kind == "DELETED":
            tasks.append(("collect", meta["uid"]))
        elif change.kind == "ADDED" and meta.get("ownerReferences"):
            tasks.append(("owner", kind, place))
        if "deletionTimestamp" in meta and {"orphan", "foregroundDeletion"} & set(meta.get("finalizers") or ()):
            tasks.append(("finish", kind, place))
        if "deletionTimestamp" in meta or change.kind == "DELETED":
            tasks += self._of_owners(meta)
        if kind.namespaced and change.kind == "DELETED" and meta.get("namespace"):
            held = self.registry.store.get(NAMESPACE, "", meta["namespace"])
            if held is not None and held["status"]["phase"] == "Terminating":
                tasks.append(("namespace", meta["namespace"]))
        return tasks + self._asked_by_kind(kind, change, place)

    def _of_owners(self, meta: Object) -> list[Task]:
        found = []
        for owner in meta.get("ownerReferences") or ():
            kind = self.registry.kinds.named(owner["apiVersion"], owner["kind"])
            if kind is not None:
                found.append(("finish", kind, (meta.get("namespace", "") if kind.namespaced else "", owner["name"])))
        return found

    def _asked_by_kind(self, kind: Kind, change: Change, place: Place) -> list[Task]:
        meta = change.now["metadata"]
        if kind == POD:
            self._scheduler.note(change)
            owners = [each for each in meta.get("ownerReferences") or () if each["kind"] == "Job"]
            tasks: list[Task] = [("job", place[0], each["name"]) for each in owners]
            if change.kind == "DELETED":
                return [*tasks, ("gone", meta["uid"]), ("schedule",), *self._claims_of(change.now)]
            over = change.now["status"].get("phase") in ("Succeeded", "Failed")
            again = over or not change.now["spec"].get("nodeName")
            return [*tasks, ("pod", *place), *([("schedule",)] if again else [])]
        if kind == JOB and change.kind != "DELETED":
            return [("job", *place)]
        if kind == JOB:
            self._jobs.forget(meta["uid"])
        if kind in (NODE, PVC):
            return [("schedule",), *([("claim", *place)] if kind == PVC else [])]
        return [("namespace", place[1])] if kind == NAMESPACE and change.kind != "DELETED" else []

    @staticmethod
    def _claims_of(pod: Object) -> list[Task]:
        names = [
            (volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in pod["spec"].get("volumes") or ()
        ]
        return [("claim", pod["metadata"]["namespace"], name) for name in names if name]

    # Pods

    def _pods_of(self, uid: str) -> list[Object]:
        return [each for kind, each in self._garbage.dependents(uid) if kind == POD]

    def _pod(self, namespace: str, name: str) -> None:
        """Start a pod that has a node, and end one that is to be deleted."""
        store = self.registry.store
        with store.lock:
            pod = store.get(POD, namespace, name)
            if pod is None:
                return
            self._let_go(pod)
            meta = pod["metadata"]
            node = pod["spec"].get("nodeName", "")
            over = pod["status"].get("phase") in ("Succeeded", "Failed")
            runner = self._runners.get(meta["uid"])
            if "deletionTimestamp" not in meta:
                if node in self.kubelets - self._dead and not over and runner is None:
                    self._begin(pod)
                return
        if runner is not None and not runner.over.is_set():
            runner.stop(meta.get("deletionGracePeriodSeconds", 0))
        elif meta.get("deletionGracePeriodSeconds") and node in self.kubelets - self._dead:
            self._removed(pod)

    def _let_go(self, pod: Object) -> None:
        """Take a job's finalizer off a pod whose job is gone."""
        meta = pod["metadata"]
        owners = [each for each in meta.get("ownerReferences") or () if each["kind"] == "Job"]
        if TRACKING in (meta.get("finalizers") or ()) and not any(
            (self.registry.store.get(JOB, meta["namespace"], each["name"]) or {}).get("metadata", {}).get("uid")
            == each["uid"]
            for each in owners
        ):
            self.registry.settle(POD, without(pod, TRACKING))

    def _begin(self, pod: Object) -> None:
        self._addresses += 1
        number = self._addresses
        address = f"127.244.{number // 250 % 250}.{number % 250 + 1}"
        runner = PodRunner(
            pod, store=self.registry.store, events=self.events, kubelet=self._kubelet,
            folder=self._folder / "pods" / pod["metadata"]["uid"], host="127.0.0.1",
            address=address, hosts=self._names.add(pod, address), evicted=self._evict_for_memory,
        )  # fmt: skip
        with self._lock:
            self._runners[runner.uid] = runner
        runner.start()
        threading.Thread(target=self._when_over, args=[runner], name="pod's end", daemon=True).start()

    def _when_over(self, runner: PodRunner) -> None:
        runner.over.wait()
        meta = runner.pod["metadata"]
        self.loop.add(("pod", meta["namespace"], meta["name"]))

    def _removed(self, pod: Object) -> None:
        """Note that nothing of a pod runs any more, so that its deletion is done."""
        meta = pod["metadata"]
        with self.registry.store.lock:
            held = self.registry.store.get(POD, meta["namespace"], meta["name"])
            if held is not None and held["metadata"]["uid"] == meta["uid"]:
                self.registry.settle(POD, {**held, "metadata": {**held["metadata"], "deletionGracePeriodSeconds": 0}})

    def _gone(self, uid: str) -> None:
        """End what is left of a pod that was deleted without grace, and remove its folder."""
        with self._lock:
            runner = self._runners.pop(uid, None)
        if runner is not None:
            runner.close()
            runner.remove()

    def logs(self, pod: Object, request: LogRequest, gone: Callable[[], bool]) -> Iterable[bytes]:
        with self._lock:
            runner = self._runners.get(pod["metadata"]["uid"])
        if runner is None:
            raise log_of_lost(pod)
        return runner.log(request.container, previous=request.previous).read(request, gone)

    def bind(self, namespace: str, name: str, node: str) -> None:
        with self.registry.store.lock:
            pod = self.registry.get(POD, namespace, name)
            if pod["spec"].get("nodeName"):
                raise errors.bound(name, pod["spec"]["nodeName"])
            self._scheduler.bind(pod, node)

    # Disruptions

    def evict(self, namespace: str, name: str) -> None:
        with self.registry.store.lock:
            pod = self.registry.get(POD, namespace, name)
            made = condition("DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")
            self._disrupt(pod, made)
            self.registry.delete(POD, namespace, name, Options())

    def _disrupt(self, pod: Object, made: Object) -> None:
        with self._lock:
            runner = self._runners.get(pod["metadata"]["uid"])
        if runner is not None:
            runner.stop(pod["spec"].get("terminationGracePeriodSeconds", 30), conditions=(made,))
        status = {**pod["status"], "conditions": with_condition(pod, made)}
        self.registry.store.put(POD, {**pod, "status": status})

    def _evict_for_memory(self, runner: PodRunner) -> None:
        message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. "
        made = condition("DisruptionTarget", "True", "TerminationByKubelet", message)
        runner.say("Evicted", message, kind="Warning")
        runner.stop(0, "Evicted", message, (made,))

    def lose_node(self, name: str) -> None:
        """Have a node die: its programs end at once, its pods are lost, and nothing is scheduled to it until it is back.

        Raises:
            Refused: there is no such node.
        """
        store = self.registry.store
        with store.lock:
            node = self.registry.get(NODE, "", name)
            self._dead.add(name)
            taints = [{"key": UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
            status = {**node["status"], "conditions": [ready_condition("Unknown")]}
            store.put(
                NODE,
                {
                    **node,
                    "spec": {**node["spec"], "taints": [*(node["spec"].get("taints") or ()), *taints]},
                    "status": status,
                },
            )
            pods = [
                pod
                for pod in store.objects(POD)
                if pod["spec"].get("nodeName") == name and pod["status"].get("phase") not in ("Succeeded", "Failed")
            ]
        for pod in pods:
            with self._lock:
                runner = self._runners.pop(pod["metadata"]["uid"], None)
            if runner is not None:
                runner.close()
            self._lose(pod, name)

    def _lose(self, pod: Object, node: str) -> None:
        meta = pod["metadata"]
        message = f"Node {node} which was running pod {meta['name']} is unresponsive"
        made = condition(
            "DisruptionTarget", "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
        )
        with self.registry.store.lock:
            held = self.registry.store.get(POD, meta["namespace"], meta["name"])
            if held is None or held["metadata"]["uid"] != meta["uid"]:
                return
            self.events.say(
                held,
                "TaintManagerEviction",
                f"Marking for deletion Pod {meta['namespace']}/{meta['name']}",
                component="taint-eviction-controller",
            )
            status = {
                **held["status"],
                "phase": "Failed",
                "reason": "NodeLost",
                "message": message,
                "conditions": with_condition(held, made),
            }
            self.registry.store.put(POD, {**held, "status": status})
            self.registry.delete(POD, meta["namespace"], meta["name"], Options(grace=0))

    def return_node(self, name: str) -> None:
        """Have a node that died come back.

        Raises:
            Refused: there is no such node.
        """
        store = self.registry.store
        with store.lock:
            node = self.registry.get(NODE, "", name)
            self._dead.discard(name)
            taints = [each for each in node["spec"].get("taints") or () if each["key"] != UNREACHABLE]
            spec = {key: value for key, value in node["spec"].items() if key != "taints"} | (
                {"taints": taints} if taints else {}
            )
            store.put(
                NODE, {**node, "spec": spec, "status": {**node["status"], "conditions": [ready_condition("True")]}}
            )

    # Namespaces and claims

    def _namespace(self, name: str) -> None:
        """Give a namespace what every one has, or empty one that is to be deleted."""
        store = self.registry.store
        with store.lock:
            held = store.get(NAMESPACE, "", name)
            if held is None:
                return
            if held["status"]["phase"] != "Terminating":
                self._furnish(name)
                return
            kinds = [kind for kind in self.registry.kinds if kind.namespaced]
            left = [(kind, each) for kind in kinds for each in store.objects(kind, name)]
            for kind, each in left:
                if "deletionTimestamp" not in each["metadata"]:
                    self.registry.delete(kind, *place_of(each), Options(propagation="Background"))
            if not any(store.objects(kind, name) for kind in kinds):
                store.remove(NAMESPACE, "", name)

    def _furnish(self, name: str) -> None:
        given: Sequence[tuple[Kind, str, dict[str, Any]]] = (
            (SERVICE_ACCOUNT, "default", {}),
            (CONFIG_MAP, "kube-root-ca.crt", {"data": {"ca.crt": self._certificate}}),
        )
        for kind, own, data in given:
            if self.registry.store.get(kind, name, own) is None:
                self.registry.create(kind, name, {"metadata": {"name": own}, **data})

    def furnish(self, name: str) -> None:
        """Make a namespace with all that every one has, unless it is there."""
        with self.registry.store.lock:
            if self.registry.store.get(NAMESPACE, "", name) is None:
                self.registry.create(NAMESPACE, "", {"metadata": {"name": name}})
            self._furnish(name)

    def _has_claim(self, namespace: str, name: str) -> bool:
        if self.registry.store.get(PVC, namespace, name) is not None:
            return True
        if not self._lenient:
            return False
        self.add_claim(namespace, name)
        return True

    def add_claim(self, namespace: str, name: str) -> None:
        """Make a claim, and bind it."""
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Ti"}}}
        self.registry.create(PVC, namespace, {"metadata": {"name": name}, "spec": spec})
        self._claim(namespace, name)

    def _claim(self, namespace: str, name: str) -> None:
        """Bind a new claim to a volume; let one go that is to be deleted and that no pod uses."""
        store = self.registry.store
        with store.lock:
            held = store.get(PVC, namespace, name)
            if held is None:
                return
            if "deletionTimestamp" in held["metadata"]:
                if not any(self._uses(pod, name) for pod in store.objects(POD, namespace)):
                    self.registry.settle(PVC, without(held, PROTECTION))
                return
            if held["status"].get("phase") != "Bound":
                spec = held["spec"]
                spec = {
                    **spec,
                    "volumeName": f"pvc-{held['metadata']['uid']}",
                    "storageClassName": spec.get("storageClassName", "standard"),
                }
                status = {
                    "phase": "Bound",
                    "accessModes": spec["accessModes"],
                    "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                }
                store.put(PVC, {**held, "spec": spec, "status": status})

    @staticmethod
    def _uses(pod: Object, claim: str) -> bool:
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return False
        return any(
            (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim
            for volume in pod["spec"].get("volumes") or ()
        )

    def claim_folder(self, namespace: str, name: str) -> Path:
        """Return the folder of a claim's volume on this machine."""
        return self._kubelet.sources.claims / namespace / name

    def states(self) -> dict[str, str]:
        """Return the word for the state of every pod, by ``NAMESPACE/NAME``; for tests and people."""
        return {"/".join(place_of(pod)): pod_status(pod)[2] for pod in self.registry.store.objects(POD)}
