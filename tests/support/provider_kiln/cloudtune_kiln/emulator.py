"""Kiln on this machine: it draws knobs at random, and fires trials as processes. Reads experiments with its own eyes."""

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from werkzeug.wrappers import Request, Response

from cloudtune.bundle.tree import tree_of
from cloudtune.emulation.access import Refusal, bearer, new_secret, same
from cloudtune.emulation.emulator import Emulator, listen, settings_of
from cloudtune.emulation.faults import Faults
from cloudtune.emulation.processes import Limit, Processes, Start
from cloudtune.emulation.serving import LoopbackServer
from cloudtune.emulation.starting import environment_of
from cloudtune.emulation.stop_requests import StopRequests
from cloudtune.errors import ConfigError

_NONE: Mapping[str, Any] = MappingProxyType({})


class KilnEmulator(Emulator[Faults]):
    """Kiln's experiments and its store.

    Args:
        port: of 127.0.0.1; 0 for a free one.
        folder: for the store and the trials; None for one that is removed at the end.
        images: nothing stands for an image here.
        mounts: folders whose files are in the store at the start, by ``kiln://FOLDER``.
        grace: seconds that a program has between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        port: int = 0,
        folder: Path | None = None,
        *,
        images: Mapping[str, Any] = _NONE,
        mounts: Mapping[str, str | Path] = _NONE,
        grace: float = 0.5,
    ) -> None:
        if images:
            raise ConfigError("Kiln fires the program of an experiment: nothing can stand for an image")
        super().__init__("kiln", folder, mounts, Faults())
        self._grace, self._token = grace, new_secret()
        self._experiments: dict[str, Experiment] = {}
        self._lock = threading.Lock()
        self._server = LoopbackServer(port, self._serve, admit=self._admit, refuse=_refuse)

    def start(self) -> Self:
        for uri, folder in self._mounted():
            for file in tree_of(folder).files:
                self._put(f"{uri.removeprefix('kiln://')}/{file.name}", file.path.read_bytes())
        listen(self._server.start)
        return self

    def stop(self) -> None:
        for experiment in self._experiments.values():
            experiment.end("close")
        for experiment in self._experiments.values():
            experiment.join()
        self._server.stop()
        self._workplace.close()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def environment(self) -> dict[str, str]:
        return settings_of("kiln", endpoint=self.url, token=self._token, poll="0.05")

    def _admit(self, environ: Mapping[str, Any]) -> Refusal | None:
        given = bearer(str(environ.get("HTTP_AUTHORIZATION", "")))
        return None if same(given, self._token) else Refusal("missing", "this kiln is locked; bring its token")

    # Requests

    def _serve(self, environ: dict[str, Any], respond: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            said = self._answer(request, request.path.strip("/").split("/"))
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            kind = "application/octet-stream" if isinstance(said, bytes) else "application/json"
            answer = Response(body, content_type=kind)
        except LookupError as error:
            answer = Response(f"there is no {error}", status=404)
        except ValueError as error:
            answer = Response(str(error), status=400)
        return answer(environ, respond)

    def _answer(self, request: Request, path: list[str]) -> Any:
        self._count(f"{request.method} {path[0]}")
        match request.method, *path:
            case "PUT", "store", *name:
                return self._put("/".join(name), request.get_data())
            case "GET", "experiments":
                return list(self._experiments)
            case "PUT", "experiments", name:
                return self._make(name, json.loads(request.get_data()))
            case "GET", "experiments", name:
                return self._find(name).told()
            case "POST", "experiments", name, "stop":
                return self._find(name).end("stop")
            case "GET", "experiments", name, "trials", number, "log":
                return self._find(name).trials[int(number)].log[int(request.args.get("after", 0)) :]
            case "GET", "experiments", name, "trials", number, "files", *file:
                return self._find(name).trials[int(number)].left("/".join(file))
        raise LookupError(request.path)

    def _put(self, name: str, content: bytes) -> None:
        place = self.folder / "store" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def _make(self, name: str, said: dict[str, Any]) -> None:
        unknown = said.keys() - _MEMBERS
        if unknown or not said.keys() >= _NEEDED:
            raise ValueError(f"an experiment has {sorted(_NEEDED)}, and no {sorted(unknown)}")
        with self._lock:
            if name not in self._experiments:
                self._experiments[name] = Experiment(
                    said, self.folder, self.folder / "fired" / name, self._grace, self._workplace.scratch
                )

    def _find(self, name: str) -> "Experiment":
        if name not in self._experiments:
            raise LookupError(f"experiment {name}")
        return self._experiments[name]


_NEEDED = {"title", "goals", "knobs", "trials", "program"}
_MEMBERS = {*_NEEDED, "search", "at_once", "seconds", "image", "machine", "env", "labels"}


class Experiment:
    """One experiment, which fires its trials at once; each worker takes the next number."""

    def __init__(
        self, said: dict[str, Any], root: Path, folder: Path, grace: float, scratch: Callable[[], Path | None]
    ) -> None:
        self._said, self._grace = said, grace
        self._root, self._folder, self._scratch = root, folder, scratch
        self._seed = said.get("search", {}).get("seed") or random.randrange(2**31)
        self._created, self._ended, self._why = time.time(), 0.0, ""
        self._lock = threading.Lock()
        self.trials: list[Trial] = []
        count = min(said.get("at_once", 1), said["trials"])
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for worker in self._workers:
            worker.start()

    def told(self) -> dict[str, Any]:
        """Return what the service says of it."""
        over = not any(worker.is_alive() for worker in self._workers)
        state = ("stopped" if self._why else "done") if over else ("stopping" if self._why else "firing")
        trials = [trial.told() for trial in list(self.trials)]
        ended = max((trial["ended"] for trial in trials), default=self._created) if over else None
        return {"request": self._said, "state": state, "created": self._created, "ended": ended, "trials": trials}

    def end(self, why: str) -> None:
        """End it and all of its trials."""
        with self._lock:
            self._why = why
            for trial in self.trials:
                trial.requests.request("close" if why == "close" else "stop")

    def join(self) -> None:
        """Wait for its trials."""
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while (trial := self._next()) is not None:
            trial.fire(self._said, self._root, self._grace, self._scratch())

    def _next(self) -> "Trial | None":
        with self._lock:
            number = len(self.trials)
            if self._why or number >= self._said["trials"]:
                return None
            drawn = random.Random(f"{self._seed}/{number}")
            knobs = {knob["name"]: _drawn(drawn, knob) for knob in self._said["knobs"]}
            self.trials.append(Trial(number, knobs, self._folder / str(number)))
            return self.trials[-1]


def _drawn(drawn: random.Random, knob: Mapping[str, Any]) -> Any:
    if knob["kind"] == "choice":
        return drawn.choice(knob["options"])
    return (drawn.uniform if knob["kind"] == "real" else drawn.randint)(knob["low"], knob["high"])


class Trial:
    """One trial: a process of this machine."""

    def __init__(self, number: int, knobs: dict[str, Any], folder: Path) -> None:
        self._number, self._knobs, self._folder = number, knobs, folder
        self._state, self._why = "firing", ""
        self._begun: float | None = None
        self._ended: float | None = None
        self.log: list[str] = []
        self.requests = StopRequests()
        (folder / "out").mkdir(parents=True)

    def fire(self, said: Mapping[str, Any], root: Path, grace: float, scratch: Path | None) -> None:
        """Run its program to its end."""
        variables = {
            **said.get("env", {}), "KILN_KNOBS": json.dumps(self._knobs), "KILN_TRIAL": str(self._number),
            "KILN_OUT": str(self._folder / "out"), "KILN_POINTS": str(self._folder / "points"), "KILN_STORE": str(root / "store"),
        }  # fmt: skip
        words = [sys.executable, said["program"].replace("kiln:/", str(root / "store"), 1)]
        environment = environment_of(variables, self._folder, self._folder / "home", scratch)
        start = Start(words, environment, self._folder, scratch)
        self._begun = time.time()
        processes = Processes(
            [start],
            mark=self._folder,
            grace=grace,
            on_line=lambda _, line: self.log.append(line),
            stop_requests=self.requests,
        )
        limits = [Limit(time.monotonic() + said["seconds"], "time")] if said.get("seconds") else []
        codes, why = processes.run(limits, lambda: None)
        self.requests.close()
        failed = "cracked" if codes[0] else "done"
        self._why = f"it ended with code {codes[0]}: {self.log[-1] if self.log else ''}" if codes[0] else ""
        self._ended = time.time()
        self._state = {"": failed, "time": "late"}.get(why, "stopped")

    def told(self) -> dict[str, Any]:
        """Return what the service says of it; the state comes first, so that an ended one has all of its points."""
        state, points = self._state, self._folder / "points"
        lines = points.read_text("utf-8").splitlines(keepends=True) if points.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        times = {"begun": self._begun, "ended": self._ended if state != "firing" else None}
        return {
            "number": self._number,
            "state": state,
            "knobs": self._knobs,
            "why": self._why,
            "points": whole,
            **times,
        }

    def left(self, name: str) -> list[str] | bytes:
        """Return the names of the files that it left, or the content of one."""
        files = {file.name: file.path for file in tree_of(self._folder / "out").files}
        return files[name].read_bytes() if name else sorted(files)


def _refuse(environ: dict[str, Any], refusal: Refusal, respond: Any) -> Iterable[bytes]:
    return Response(refusal.message, status=401)(environ, respond)
