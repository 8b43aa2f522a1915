"""One container of a pod, run as a process of this machine: pulled, started, watched, and started again by its policy."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cloudtune.emulation.images import Images
from cloudtune.emulation.mounting import mounting
from cloudtune.emulation.output import last_words, whole
from cloudtune.emulation.processes import Processes, Start
from cloudtune.emulation.starting import environment_of, with_the_emulator
from cloudtune.emulation.stop_requests import StopRequests
from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.faults import Faults
from cloudtune_kubernetes.emulator.fields import all_expanded
from cloudtune_kubernetes.emulator.logs import Log
from cloudtune_kubernetes.emulator.memory import Memory
from cloudtune_kubernetes.emulator.quantities import number
from cloudtune_kubernetes.emulator.variables import BadConfig, variables_of
from cloudtune_kubernetes.emulator.volumes import VolumeSource, shown

_PROBE = "/cloudtune-volume"
_LONGEST_BACKOFF = 30  # times the first one: 5 minutes for 10 s
_LOOK = 0.25
"""Seconds between two looks at a container's memory, if that is limited."""

CHECK_SECONDS = 0.2
"""Seconds between two looks for what a container's configuration lacks."""


@dataclass(frozen=True, slots=True)
class Kubelet:
    """What containers run with.

    Attributes:
        sources: of volumes.
        images: what stands for images.
        faults: what goes wrong on purpose.
        backoff: seconds before a container is started again the first time, or an image is tried again.
        grace: the most seconds between SIGTERM and SIGKILL; None for what the pod says.
        environment: variables of every container, such as the API server's address.
        scratch: see `cloudtune.emulation.workplace.Workplace.scratch`.
    """

    sources: VolumeSource
    images: Images
    faults: Faults
    backoff: float
    grace: float | None
    environment: Callable[[], Mapping[str, str]]
    scratch: Callable[[], Path | None]


class Owner(Protocol):
    """The pod of a container."""

    @property
    def pod(self) -> dict[str, Any]:
        """The pod as it was when it was given to its node, with its addresses."""

    @property
    def volumes(self) -> Mapping[str, Path]:
        """Its volumes."""

    @property
    def hosts(self) -> Path | None:
        """The file in which its containers find the names of other pods; None for this machine's own."""

    def publish(self) -> None:
        """Write the states of the containers into the pod."""

    def say(self, reason: str, message: str, *, kind: str = "Normal", container: str = "") -> None:
        """Write an event about the pod."""

    def printed(self) -> None:
        """Note that a container has printed a line."""


class Container:
    """Runs one container.

    Args:
        spec: of the container.
        owner: its pod.
        kubelet: what it runs with.
        folder: for what it needs on this machine.
        initial: whether it is one of the init containers.

    Attributes:
        state: its state, in the API's form.
        before: the state of its earlier end; {} for none.
        restarts: how often it was started again.
        ended: whether it has ended for good.
        lasts: whether it is started again whenever it ends, as a sidecar is.
        started: set once it has run, or has ended without.
    """

    def __init__(
        self, spec: Mapping[str, Any], owner: Owner, kubelet: Kubelet, folder: Path, *, initial: bool = False
    ) -> None:
        self.spec, self._owner, self._kubelet, self._folder = spec, owner, kubelet, folder
        self.name = str(spec["name"])
        self.lasts = initial and spec.get("restartPolicy") == "Always"
        waits = "PodInitializing" if not initial and owner.pod["spec"].get("initContainers") else "ContainerCreating"
        self.state: dict[str, Any] = {"waiting": {"reason": waits}}
        self.before: dict[str, Any] = {}
        self.restarts, self.ended = 0, False
        self.started = threading.Event()
        self._initial = initial
        self._logs: list[Log] = []
        self._requests = StopRequests()
        self._stopped, self._wake = False, threading.Event()
        self._processes: Processes | None = None
        self._lock = threading.Lock()
        self._grace = 0.0
        self._out_of_memory = False
        self._thread = threading.Thread(target=self._run, name=f"container {self.name}", daemon=True)

    # From other threads

    def start(self) -> None:
        """Start it; return at once."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended for good."""
        if self._thread.ident is not None:
            self._thread.join()

    def stop(self, grace: float, *, close: bool = False) -> None:
        """Ask it to end (SIGTERM), and make it after a time; at once, and without a word, if the emulator closes."""
        with self._lock:
            self._stopped, self._grace = True, grace
            if self._processes is not None:
                self._processes.grace = grace
            self._requests.request("close" if close or grace <= 0 else "stop")
        self._wake.set()

    @property
    def exit_code(self) -> int | None:
        """The exit code of its end; None while it has none."""
        terminated = self.state.get("terminated")
        return None if terminated is None else int(terminated["exitCode"])

    def log(self, *, previous: bool) -> Log | None:
        """Return the output of its latest start, or of the one before; None if it has not started."""
        index = 2 if previous else 1
        return self._logs[-index] if len(self._logs) >= index else None

    def status(self) -> dict[str, Any]:
        """Return its ContainerStatus."""
        running = "running" in self.state
        done = self.exit_code == 0 and self._initial
        made = {
            "name": self.name, "state": self.state, "lastState": self.before, "ready": (running and not self._initial) or done or (running and self.lasts),
            "restartCount": self.restarts, "image": self.spec["image"], "imageID": "", "started": running,
        }  # fmt: skip
        identity = (
            self.state.get("running") or self.state.get("terminated") or {}
        ) and f"processes://{self.name}-{self.restarts}"
        if identity:
            made["containerID"], made["imageID"] = identity, f"processes://{self.spec['image']}"
        return made

    # In its thread

    def _run(self) -> None:
        try:
            self._run_until_over()
        except Exception as error:  # noqa: BLE001  # the pod must end for those who wait, whatever went wrong
            self._set(
                {
                    "terminated": self._terminated(
                        128, "ContainerCannotRun", f"the emulator failed: {type(error).__name__}: {error}", times.now()
                    )
                }
            )
        finally:
            self.ended = True
            for log in self._logs:
                log.end()
            self.started.set()
            self._requests.close()
            self._owner.publish()

    def _run_until_over(self) -> None:
        while self._pull() and not self._stopped:
            code = self._run_once()
            if self._stopped or code is None or not self._starts_again(code):
                return
            self._wait_to_restart()
            if self._stopped:
                return

    def _starts_again(self, code: int) -> bool:
        policy = "Always" if self.lasts else self._owner.pod["spec"].get("restartPolicy", "Always")
        if self._initial and not self.lasts and code == 0:
            return False
        return bool(policy == "Always" or (policy == "OnFailure" and code != 0))

    def _wait_to_restart(self) -> None:
        delay = self._kubelet.backoff * min(2**self.restarts, _LONGEST_BACKOFF)
        pod = self._owner.pod["metadata"]
        message = f"back-off {delay:g}s restarting failed container={self.name} pod={pod['name']}_{pod['namespace']}({pod['uid']})"
        self.before, self.restarts = self.state, self.restarts + 1
        self._set({"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        self._owner.say(
            "BackOff",
            f"Back-off restarting failed container {self.name} in pod {pod['name']}_{pod['namespace']}({pod['uid']})",
            kind="Warning",
            container=self.name,
        )
        self._wake.wait(delay)

    def _set(self, state: dict[str, Any]) -> None:
        self.state = state
        self._owner.publish()

    def _pull(self) -> bool:
        """Pull the image; return whether it is there, False if the pod ended before."""
        image, tries = str(self.spec["image"]), 0
        if any(each.isspace() or each.isupper() for each in image.rpartition(":")[0] or image):
            self._set(
                {
                    "waiting": {
                        "reason": "InvalidImageName",
                        "message": f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid reference format',
                    }
                }
            )
            self._owner.say(
                "InspectFailed",
                f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}"',
                kind="Warning",
                container=self.name,
            )
            self._wait_for_end()
            return False
        while self._kubelet.faults.cannot_pull(image) and not self._stopped:
            said = (
                f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
            )
            self._owner.say("Pulling", f'Pulling image "{image}"', container=self.name)
            self._owner.say("Failed", f'Failed to pull image "{image}": {said}', kind="Warning", container=self.name)
            self._owner.say("Failed", "Error: ErrImagePull", kind="Warning", container=self.name)
            self._set({"waiting": {"reason": "ErrImagePull", "message": said}})
            self._wake.wait(self._kubelet.backoff)
            if self._stopped:
                break
            self._set(
                {
                    "waiting": {
                        "reason": "ImagePullBackOff",
                        "message": f'Back-off pulling image "{image}": ErrImagePull: {said}',
                    }
                }
            )
            self._owner.say("BackOff", f'Back-off pulling image "{image}"', container=self.name)
            self._wake.wait(self._kubelet.backoff * min(2**tries, _LONGEST_BACKOFF))
            tries += 1
        return not self._stopped

    def _wait_for_end(self) -> None:
        while not self._stopped:
            self._wake.wait()

    def _configured(self) -> dict[str, str] | None:
        """Return its variables, once all that they name is there; None if the pod ended before."""
        while not self._stopped:
            try:
                return variables_of(self._owner.pod, self.spec, self._kubelet.sources)
            except BadConfig as error:
                self._set({"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}})
                self._owner.say("Failed", f"Error: {error}", kind="Warning", container=self.name)
                self._wake.wait(CHECK_SECONDS)
        return None

    def _run_once(self) -> int | None:
        """Run its program once, and return its exit code; None if it could not be configured before the pod's end."""
        variables = self._configured()
        if variables is None:
            return None
        began = times.now()
        words = self._words(variables)
        if not words:
            return self._cannot_start("no command specified", began)
        room = self._folder / str(self.restarts)
        try:
            start = self._start_of(words, variables, room)
        except OSError as error:
            return self._cannot_start(str(error), began)
        log = Log(self._folder / "logs" / f"{self.restarts}.log")
        for old in self._logs[:-1]:
            old.end()
        self._logs = [*self._logs[-1:], log]
        return self._watched(start, log, room, began)

    def _watched(self, start: Start, log: Log, room: Path, began: str) -> int:
        self._out_of_memory = False
        try:
            with self._lock:
                processes = self._processes = Processes(
                    [start], mark=room, grace=self._grace, on_line=lambda _, line: self._on_line(log, line),
                    stop_requests=self._requests,
                )  # fmt: skip
        except OSError as error:
            return self._cannot_start(str(error), began)
        self._owner.say("Started", "Container started", container=self.name)
        self._set({"running": {"startedAt": began}})
        self.started.set()
        codes, _ = processes.run((), self._memory_tick(processes))
        with self._lock:
            self._processes = None
        log.end()
        if self._out_of_memory and not self._stopped:
            self._requests.clear("close")
        shutil.rmtree(room, ignore_errors=True)
        return self._note_end(137 if self._out_of_memory else codes[0], log, began)

    def _on_line(self, log: Log, line: str) -> None:
        log.add(line)
        self._owner.printed()

    def _note_end(self, code: int, log: Log, began: str) -> int:
        reason = "OOMKilled" if self._out_of_memory else "Completed" if code == 0 else "Error"
        message = ""
        if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = last_words(log.last_lines)[-2048:]
        self._set({"terminated": self._terminated(code, reason, message, began)})
        return code

    def _terminated(self, code: int, reason: str, message: str, began: str) -> dict[str, Any]:
        return {
            "exitCode": code, "reason": reason, **({"message": message} if message else {}),
            "startedAt": began, "finishedAt": times.now(), "containerID": f"processes://{self.name}-{self.restarts}",
        }  # fmt: skip

    def _cannot_start(self, why: str, began: str) -> int:
        message = f"failed to create containerd task: failed to create shim task: OCI runtime create failed: unable to start container process: {why}: unknown"
        self._owner.say("Failed", f"Error: {message}", kind="Warning", container=self.name)
        self._set({"terminated": self._terminated(128, "StartError", message, began)})
        return 128

    def _memory_tick(self, processes: Processes) -> Callable[[], float | None]:
        """Return what ends the program when it takes more memory than its limit; looks only where there is one."""
        limit = ((self.spec.get("resources") or {}).get("limits") or {}).get("memory")
        if limit is None:
            return lambda: None
        memory, most = Memory(processes.pids), int(number(limit))

        def tick() -> float:
            if not self._out_of_memory and memory.used() > most:
                self._out_of_memory = True
                self._requests.request("close")
            return time.monotonic() + _LOOK

        return tick

    def _words(self, variables: Mapping[str, str]) -> list[str]:
        """Return the program and its arguments: of the container, or of what stands for its image."""
        command = all_expanded(self.spec.get("command") or (), variables)
        arguments = all_expanded(self.spec.get("args") or (), variables)
        program = command or self._kubelet.images.program(str(self.spec["image"]))
        return [*program, *arguments] if program else []

    def _start_of(self, words: list[str], variables: Mapping[str, str], room: Path) -> Start:
        """Return how the program starts.

        Raises:
            OSError: there is no such program.
        """
        shutil.rmtree(room, ignore_errors=True)
        stage = room / "volumes"
        (room / "work").mkdir(parents=True)
        mounts, way = shown(self.spec, self._owner.volumes, stage), mounting(_PROBE)
        if self._owner.hosts is not None:
            mounts["/etc/hosts"] = self._owner.hosts

        def seen(text: str) -> str:
            if not way.works:
                for place, folder in sorted(mounts.items(), key=lambda pair: -len(pair[0])):
                    text = whole(place).sub(lambda _, folder=folder: str(folder), text)  # type: ignore[misc]
            return text

        given = {name: seen(value) for name, value in {**self._kubelet.environment(), **variables}.items()}
        scratch = self._kubelet.scratch()
        environment = environment_of(given, room, room / "home", scratch)
        work = self.spec.get("workingDir") or str(room / "work")
        words = [seen(word) for word in words]
        _need_program(words[0], environment["PATH"], mounts)
        command = [*with_the_emulator(), *words]
        if not mounts or not way.works:
            return Start(command, environment, Path(seen(work)), scratch)
        return Start(way.words(mounts, room / "stage", work, command), environment, room / "work", scratch)


def _need_program(program: str, path: str, mounts: Mapping[str, Path]) -> None:
    """Raise FileNotFoundError if there is no such program, as a container's start fails for it."""
    if "/" in program:
        if (
            Path(program).exists()
            or any(program.startswith(f"{place}/") for place in mounts)
            or not program.startswith("/")
        ):
            return
        raise FileNotFoundError(f'exec: "{program}": stat {program}: no such file or directory')
    if shutil.which(program, path=path) is None:
        raise FileNotFoundError(f'exec: "{program}": executable file not found in $PATH')
