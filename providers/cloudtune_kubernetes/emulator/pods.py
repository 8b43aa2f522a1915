"""One pod on its node: its volumes, its init containers, its containers, its status, its deadline and its end."""

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.containers import CHECK_SECONDS, Container, Kubelet
from cloudtune_kubernetes.emulator.errors import Refused, bad_request
from cloudtune_kubernetes.emulator.events import Events
from cloudtune_kubernetes.emulator.kinds import POD
from cloudtune_kubernetes.emulator.logs import Log
from cloudtune_kubernetes.emulator.scheduler import condition, with_condition
from cloudtune_kubernetes.emulator.store import Object, Store
from cloudtune_kubernetes.emulator.volumes import NotReady

DEADLINE = "Pod was active on the node longer than the specified deadline"


class PodRunner:
    """Runs a pod.

    Args:
        pod: as it was when its node got it.
        store: of the cluster.
        events: takes what is said of it.
        kubelet: what it runs with.
        folder: its own on this machine.
        address: the pod's own.
        host: the node's.
        hosts: the file in which the pod's containers find the names of others; None for this machine's own.
        evicted: called once if the pod is to be evicted, from a thread of its containers.

    Attributes:
        uid: of the pod.
        over: set when all of its processes have ended.
    """

    def __init__(
        self,
        pod: Object,
        *,
        store: Store,
        events: Events,
        kubelet: Kubelet,
        folder: Path,
        address: str,
        host: str,
        hosts: Path | None,
        evicted: Callable[["PodRunner"], None],
    ) -> None:
        addresses = {"podIP": address, "podIPs": [{"ip": address}], "hostIP": host, "hostIPs": [{"ip": host}]}
        self._pod = {**pod, "status": {**pod["status"], **addresses, "startTime": times.now()}}
        self.uid, self.over = str(pod["metadata"]["uid"]), threading.Event()
        self._store, self._events, self._kubelet, self._folder = store, events, kubelet, folder
        self._volumes: dict[str, Path] = {}
        self._hosts = hosts
        spec = pod["spec"]
        self._initial = [self._container(each, initial=True) for each in spec.get("initContainers") or ()]
        self._main = [self._container(each) for each in spec["containers"]]
        self._initialized = self._stopped = self._closed = self._mounted = False
        self._why: dict[str, str] = {}
        self._conditions: list[Object] = []
        self._wake = threading.Event()
        self._evicts, self._evicted = kubelet.faults.evicts(pod["metadata"]["name"]), evicted
        self._thread = threading.Thread(target=self._run, name=f"pod {pod['metadata']['name']}", daemon=True)

    def _container(self, spec: Mapping[str, Any], *, initial: bool = False) -> Container:
        return Container(spec, self, self._kubelet, self._folder / "containers" / str(spec["name"]), initial=initial)

    # From other threads

    def start(self) -> None:
        """Start it; return at once."""
        self._thread.start()

    def stop(self, grace: float, reason: str = "", message: str = "", conditions: tuple[Object, ...] = ()) -> None:
        """End its containers, within so many seconds.

        Args:
            grace: seconds between SIGTERM and SIGKILL; 0 to kill at once.
            reason: of its failed status; "" where it is only deleted.
            message: beside the reason.
            conditions: further conditions of the pod.
        """
        if reason and not self._why:
            self._why = {"reason": reason, "message": message}
        self._conditions = [*self._conditions, *conditions]
        self._stopped = True
        self._wake.set()
        limit = self._kubelet.grace
        for container in [*self._initial, *self._main]:
            container.stop(grace if limit is None else min(grace, limit))

    def close(self) -> None:
        """End it at once; its status is not written any more."""
        self._closed = True
        self.stop(0)
        for container in [*self._initial, *self._main]:
            container.stop(0, close=True)
        if self._thread.ident is not None:
            self._thread.join()
        for container in [*self._initial, *self._main]:
            container.join()

    def remove(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self, name: str, *, previous: bool) -> Log:
        """Return the output of a container.

        Raises:
            Refused: there is no such container, or it has not started.
        """
        pod = self.pod["metadata"]["name"]
        held = {each.name: each for each in [*self._main, *self._initial]}
        if not name and len(self._main) > 1:
            names = " ".join(each.name for each in self._main)
            raise bad_request(f"a container name must be specified for pod {pod}, choose one of: [{names}]")
        container = held.get(name or self._main[0].name)
        if container is None:
            raise bad_request(f"container {name} is not valid for pod {pod}")
        found = container.log(previous=previous)
        if found is not None:
            return found
        if previous:
            raise bad_request(f'previous terminated container "{container.name}" in pod "{pod}" not found')
        waiting = container.state.get("waiting") or {}
        why = {
            "ErrImagePull": "trying and failing to pull image", "ImagePullBackOff": "trying and failing to pull image",
        }.get(waiting.get("reason", ""), waiting.get("reason", ""))  # fmt: skip
        raise bad_request(f'container "{container.name}" in pod "{pod}" is waiting to start: {why}')

    # For its containers

    @property
    def pod(self) -> Object:
        """The pod as it was when its node got it, with its addresses."""
        return self._pod

    @property
    def volumes(self) -> Mapping[str, Path]:
        """Its volumes."""
        return self._volumes

    @property
    def hosts(self) -> Path | None:
        """The file with the names of other pods; None for this machine's own."""
        return self._hosts

    def say(self, reason: str, message: str, *, kind: str = "Normal", container: str = "") -> None:
        """Write an event about it."""
        part = "initContainers" if any(each.name == container for each in self._initial) else "containers"
        field = f"spec.{part}{{{container}}}" if container else ""
        if not self._closed:
            self._events.say(self._pod, reason, message, component="kubelet", kind=kind, field=field)

    def printed(self) -> None:
        """Note a line of output: a pod that is to be evicted is, now."""
        if self._evicts:
            self._evicts = False
            self._evicted(self)

    def publish(self) -> None:
        """Write the states of its containers into the pod."""
        if self._closed:
            return
        with self._store.lock:
            meta = self._pod["metadata"]
            held = self._store.get(POD, meta["namespace"], meta["name"])
            if (
                held is None
                or held["metadata"]["uid"] != self.uid
                or held["status"].get("phase") in ("Succeeded", "Failed")
            ):
                return
            status = {
                **held["status"],
                **{name: self._pod["status"][name] for name in ("podIP", "podIPs", "hostIP", "hostIPs", "startTime")},
            }
            phase = self._phase()
            status |= {"phase": phase, "containerStatuses": [each.status() for each in self._main]}
            if self._initial:
                status["initContainerStatuses"] = [each.status() for each in self._initial]
            if phase == "Failed":
                status |= self._why
            status["conditions"] = self._all_conditions(held, phase)
            self._store.put(POD, {**held, "status": status})

    def _phase(self) -> str:
        everything = [each for each in self._initial if not each.lasts] + self._main
        if self.over.is_set():
            failed = self._why or any((each.exit_code or 0) != 0 or each.exit_code is None for each in everything)
            return "Failed" if failed else "Succeeded"
        ran = any("running" in each.state or each.restarts or each.exit_code is not None for each in self._main)
        return "Running" if ran else "Pending"

    def _all_conditions(self, held: Object, phase: str) -> list[Object]:
        over = phase in ("Succeeded", "Failed")
        ready = not over and all(each.status()["ready"] for each in self._main)
        why = ("PodCompleted" if phase == "Succeeded" else "PodFailed") if over else "ContainersNotReady"
        names = " ".join(each.name for each in self._main)
        said = "" if over else f"containers with unready status: [{names}]"
        unready = ("", "") if ready else (why, said)
        initial = (
            ("", "")
            if self._initialized
            else (
                "ContainersNotInitialized",
                f"containers with incomplete status: [{' '.join(each.name for each in self._initial)}]",
            )
        )
        made = [
            condition("PodReadyToStartContainers", "True" if self._mounted and not over else "False"),
            condition("Initialized", "True" if self._initialized else "False", *initial),
            condition("Ready", "True" if ready else "False", *unready),
            condition("ContainersReady", "True" if ready else "False", *unready),
            *self._conditions,
        ]
        for each in made:
            held = {**held, "status": {**held["status"], "conditions": with_condition(held, each)}}
        return list(held["status"]["conditions"])

    # In its thread

    def _run(self) -> None:
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        timer = (
            threading.Timer(deadline, lambda: self.stop(self._grace, "DeadlineExceeded", DEADLINE))
            if deadline
            else None
        )
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            if self._mount() and self._initialize():
                for container in self._main:
                    container.start()
                for container in self._main:
                    container.join()
        finally:
            if timer is not None:
                timer.cancel()
            for container in self._initial:
                if container.lasts:
                    container.stop(self._grace)
                container.join()
            self.over.set()
            self.publish()

    @property
    def _grace(self) -> float:
        return float(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _mount(self) -> bool:
        """Make the volumes, once all that they name is there; return False if the pod ended before."""
        while not self._stopped:
            try:
                self._volumes = self._kubelet.sources.make(self._pod, self._folder / "volumes")
            except NotReady as error:
                self.say("FailedMount", str(error), kind="Warning")
                self.publish()
                self._wake.wait(CHECK_SECONDS)
                continue
            self._mounted = True
            return True
        return False

    def _initialize(self) -> bool:
        """Run the init containers one after the other; return False if one failed for good or the pod ended."""
        for container in self._initial:
            container.start()
            if container.lasts:
                container.started.wait()
            else:
                container.join()
                if container.exit_code != 0:
                    return False
        self._initialized = True
        return not self._stopped


def log_of_lost(pod: Object) -> Refused:
    """Return the refusal of logs of a pod that runs nowhere."""
    name = pod["metadata"]["name"]
    return Refused(
        404,
        "NotFound",
        f"the server could not find the requested resource ( pods/log {name})",
        {"name": name, "kind": "pods/log"},
    )
