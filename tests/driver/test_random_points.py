"""Whatever strikes a driver, at whatever point and place: nothing is lost, run twice, or called failed that did not fail.

A point is a way to strike, a place where trials run, and a moment. By default a few are shown, one a way;
``pytest --complete`` shows all hundred.
"""

import contextlib
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from places import Place, place_of

from cloudtune import TuningJob, api
from cloudtune.run import Run
from cloudtune.search import strategy_for
from cloudtune.store.records import RunState, TrialState

POINTS = 100
TRIALS = 7
PARALLEL = 2
DISK = 16 << 10
"""Bytes that no file of a driver may pass when its disk is full: its store is larger, and what trials write smaller."""

# The last trial waits for a sign, so that no run is over before its driver is struck.
BODY = """
    import pathlib, time
    import cloudtune.trial as trial

    here = pathlib.Path({here!r})

    def note(what):
        with (here / "diary").open("a") as file:
            file.write(f"{{what}} {{trial.number()}} {{trial.attempt()}}\\n")

    def body(x):
        note("begin")
        trial.report(score=x, step=1)
        while trial.number() == {last} and not (here / "go").exists():
            time.sleep(0.02)
        trial.report(score=2 * x, step=2)
        note("end")
"""

# Imports what takes seconds once; makes a driver of each line that it reads, tells its id, and then its exit code.
DRIVERS = """
import importlib, json, os, pathlib, signal, sys, traceback
for module in sys.argv[1:]:
    importlib.import_module(module)
from cloudtune import api
from cloudtune.cli import main

def watched(run, here, lines):
    def watcher(progress):
        diary = here / "diary"
        if diary.exists() and len(diary.read_text().splitlines()) >= lines:
            (here / "go").touch()
            raise ZeroDivisionError("mine")
    try:
        api.attach(run).wait(watcher)
    except ZeroDivisionError:
        return 0
    return 71

def drive(project, run, here, stream, lines):
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(project)
    taken = os.open(stream, os.O_RDWR if stream.startswith("/dev/pts") else os.O_WRONLY)
    for number in ((0, 1, 2) if os.isatty(taken) else (1, 2)):
        os.dup2(taken, number)
    sys.argv[:] = ["cloudtune", "resume", run]
    return watched(run, pathlib.Path(here), lines) if lines else main()

for line in sys.stdin:
    driver = os.fork()
    if driver == 0:
        try:
            code = drive(**json.loads(line))
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 70
        os._exit(code)
    print(driver, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(driver, 0)[1]), flush=True)
"""

COMMAND = {"command": "python train.py"}
FUNCTION = {"function": "train:body"}


@dataclass(frozen=True, slots=True)
class Kind:
    """Where, and as what, trials run.

    Attributes:
        provider: where.
        trial: what the job says of the trial.
        fields: what else it says.
        modules: what a driver imports.
        goes_on: the ways after which trials that had begun are taken over.
    """

    provider: str
    trial: dict[str, Any]
    fields: dict[str, Any]
    modules: tuple[str, ...]
    goes_on: tuple[str, ...] = ()


ENDING = {"kill -9": -9, "SIGHUP": 130, "SIGTERM": 130, "closed terminal": 130, "full disk": 4}
"""Ways to strike that end the driver, by its exit code; a resume goes on."""
HARMLESS = ("broken pipe", "full output", "raising watcher")
"""Those after which it goes on by itself."""
WAYS = (*ENDING, *HARMLESS)
LEAVING = ("kill -9", "full disk")
"""Those that end it before it can end its trials, wherever these go on without it."""
DRIVEN = {"mode": "driven"}
KINDS = {
    "process": Kind("local", COMMAND, {}, (), ("kill -9",)),
    "isolated function": Kind("local", FUNCTION, {"local": {"isolate": True}}, (), ("kill -9",)),
    "worker": Kind("local", FUNCTION, {}, ()),
    "process on Ray": Kind("ray", COMMAND, {}, ("ray",)),
    "worker on Ray": Kind("ray", FUNCTION, {}, ("ray",)),
    "task on Slurm": Kind("slurm", COMMAND, {}, (), LEAVING),
    "sagemaker": Kind("sagemaker", COMMAND, DRIVEN, ("cloudtune_sagemaker.jobs",), LEAVING),
    "vertex": Kind(
        "vertex",
        COMMAND,
        DRIVEN,
        ("cloudtune_vertex.jobs", "google.cloud.aiplatform_v1", "google.cloud.storage", "google.cloud.logging"),
    ),
    "azureml": Kind("azureml", COMMAND, DRIVEN, ("cloudtune_azureml.jobs", "azure.ai.ml.entities"), LEAVING),
}
BY_DEFAULT = {
    ("kill -9", "process"),
    ("SIGHUP", "isolated function"),
    ("SIGTERM", "worker"),
    ("closed terminal", "process"),
    ("full disk", "process"),
    ("broken pipe", "process"),
    ("full output", "worker"),
    ("raising watcher", "isolated function"),
}


# Points


@dataclass(frozen=True, slots=True)
class Point:
    """When, where and how a driver is struck.

    Attributes:
        way: how.
        kind: of trials.
        lines: so many lines are in the trials' diary by then.
        ended: so many trials have ended by then, as the store has it.
    """

    way: str
    kind: str
    lines: int = 0
    ended: int = 0

    def __str__(self) -> str:
        return f"{self.way}, {self.kind}, {self.lines} lines, {self.ended} ended"


def points() -> list[Point]:
    """Return every way at every place, and again until there are enough, each at a random moment."""
    chance = random.Random(13)
    cells = [(way, kind) for kind in KINDS for way in WAYS]
    chosen = [*cells, *chance.sample(cells, POINTS - len(cells))]
    return sorted((point(chance, way, kind) for way, kind in chosen), key=lambda each: list(KINDS).index(each.kind))


def point(chance: random.Random, way: str, kind: str) -> Point:
    """Return one at a random moment at which the last trial still waits."""
    if way == "raising watcher" or chance.random() < 0.6:
        return Point(way, kind, lines=chance.randrange(1, 2 * TRIALS))
    return Point(way, kind, ended=chance.randrange(TRIALS))


def parameters() -> Iterator[Any]:
    seen = set()
    for each in points():
        cell = (each.way, each.kind)
        marks = [] if cell in BY_DEFAULT - seen else [pytest.mark.complete]
        seen.add(cell)
        yield pytest.param(each, id=str(each), marks=marks)


# Drivers


class Drivers:
    """Starts drivers without each having to import a service's SDK."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        command = [sys.executable, "-c", DRIVERS, *modules]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def start(self, **how: Any) -> int:
        """Starts a driver; returns its id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(how).encode() + b"\n")
        return int(self._said(60))

    def code(self) -> int:
        """Waits for the driver's end; returns its exit code."""
        return int(self._said(60))

    @property
    def ended(self) -> bool:
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def _said(self, seconds: float) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        assert select.select([stdout], [], [], seconds)[0], "the driver did not come to its end"
        return stdout.readline().decode()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(100)


class Places:
    """Gives the places of providers, and what starts drivers there, which stay for the tests to come."""

    def __init__(self, stack: contextlib.ExitStack, folder: Callable[[str], Path]) -> None:
        self._stack = stack
        self._folder = folder
        self._patches = stack.enter_context(pytest.MonkeyPatch.context())
        self._made: dict[str, Place] = {}
        self._drivers: dict[str, Drivers] = {}

    def place(self, provider: str) -> Place:
        if provider not in self._made:
            place = self._stack.enter_context(place_of(provider, self._folder(provider)))
            for name, value in place.environment.items():
                self._patches.setenv(name, value)
            self._made[provider] = place
        return self._made[provider]

    def drivers(self, kind: Kind) -> Drivers:
        self.place(kind.provider)
        if kind.provider not in self._drivers:
            self._drivers[kind.provider] = self._stack.enter_context(contextlib.closing(Drivers(kind.modules)))
        return self._drivers[kind.provider]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with contextlib.ExitStack() as stack:
        yield Places(stack, tmp_path_factory.mktemp)


class Output:
    """What a driver writes to: a terminal, a pipe, a full disk, or a file.

    Args:
        way: in which the driver will be struck.
        here: the test's folder.
    """

    def __init__(self, way: str, here: Path) -> None:
        self._ours: list[int] = []
        self.path = str(here / "output")
        if way == "closed terminal":
            ours, self._theirs = os.openpty()
            self._ours = [ours]
            self.path = os.ttyname(self._theirs)
            os.set_blocking(ours, False)
        elif way == "broken pipe":
            os.mkfifo(self.path)
            self._ours = [os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)]
        elif way == "full output":
            self.path = "/dev/full"
        else:
            Path(self.path).touch()

    def read(self) -> None:
        """Reads what is there, so that the driver need not wait."""
        for ours in self._ours:
            with contextlib.suppress(BlockingIOError, OSError):  # EIO: nobody has the terminal open
                while os.read(ours, 1 << 16):
                    pass

    def close(self) -> None:
        """Leaves the driver without a reader."""
        for ours in self._ours:
            os.close(ours)
        self._ours.clear()


# Runs


def prepared(place: Place, kind: Kind, here: Path) -> Run:
    (here / "src").mkdir()
    script = textwrap.dedent(BODY).format(here=str(here), last=TRIALS - 1)
    if "command" in kind.trial:
        script += '\nbody(trial.params()["x"])\n'
    (here / "src" / "train.py").write_text(script)
    fields: dict[str, Any] = {**place.extras}
    for name, value in kind.fields.items():
        fields[name] = {**fields.get(name, {}), **value} if isinstance(value, dict) else value
    data = {
        "name": "struck",
        "trial": {"source": "src", **kind.trial},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "strategy": {"type": "random", "seed": 11},
        "limits": {"trials": TRIALS, "parallel": PARALLEL},
        **fields,
    }
    return api.prepare(TuningJob.from_data(data), place.on, project=place.project, base=here)


@dataclass(slots=True)
class Scene:
    """A run, and its driver that is to be struck."""

    at: Point
    run: Run
    here: Path
    drivers: Drivers
    output: Output
    driver: int = 0

    def diary(self) -> list[str]:
        path = self.here / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def known(self) -> set[int]:
        """The numbers of the trials that the store knows to have ended."""
        return {trial.number for trial in self.run.trials() if trial.state.ended}

    @property
    def due(self) -> bool:
        if self.run.record.state is not RunState.RUNNING:
            return False
        return len(self.diary()) >= self.at.lines and len(self.known()) >= self.at.ended

    def drive(self) -> int:
        """Has a driver drive the run, and strikes it at the point; returns its exit code."""
        lines = self.at.lines if self.at.way == "raising watcher" else 0
        self.driver = self.drivers.start(
            project=str(self.run.project), run=self.run.id, here=str(self.here), stream=self.output.path, lines=lines
        )
        if not lines:
            self._await(lambda: self.due)
            self.strike()
        self._await(lambda: self.drivers.ended)
        return self.drivers.code()

    def _await(self, true: Callable[[], bool]) -> None:
        moment = threading.Event()
        for _ in range(12_000):
            if true():
                return
            assert self.driver == 0 or not self.drivers.ended, f"the driver ended: {self.said}"
            self.output.read()
            moment.wait(0.005)
        pytest.fail(f"it did not come to that within a minute: {self.diary()}, {self.run.events()}")

    def strike(self) -> None:
        if self.at.way == "full disk":
            resource.prlimit(self.driver, resource.RLIMIT_FSIZE, (DISK, DISK))
        elif self.at.way in ("kill -9", "SIGHUP", "SIGTERM"):
            os.kill(self.driver, {"kill -9": signal.SIGKILL}.get(self.at.way) or signal.Signals[self.at.way])
        else:
            self.output.close()
        if self.at.way in HARMLESS or self.at.way == "full disk":
            (self.here / "go").touch()  # it has to go on to notice
        self.driver = 0

    @property
    def said(self) -> str:
        path = self.here / "output"
        return path.read_text(errors="replace") if path.is_file() else ""


@pytest.mark.xdist_group("services")
@pytest.mark.parametrize("at", list(parameters()))
def test_nothing_is_lost_run_twice_or_called_failed(at: Point, places: Places, tmp_path: Path) -> None:
    kind = KINDS[at.kind]
    run = prepared(places.place(kind.provider), kind, tmp_path)
    output = Output(at.way, tmp_path)
    with contextlib.closing(output):
        scene = Scene(at, run, tmp_path, places.drivers(kind), output)
        code = scene.drive()
    assert code == ENDING.get(at.way, 0), scene.said
    before = scene.known()
    begun = {line for line in scene.diary() if line.startswith("begin")}
    if at.way in HARMLESS:
        assert run.record.state is RunState.COMPLETED
    else:
        (tmp_path / "go").touch()
        assert run.wait() is RunState.COMPLETED, run.events()
    check(scene, before, begun)


def check(scene: Scene, before: set[int], begun: set[str]) -> None:
    """What must be true of a run when it has ended.

    Args:
        scene: with the run.
        before: the trials that had ended, as far as known, when its driver was gone.
        begun: the lines of attempts that had begun by then.
    """
    run, at, lines = scene.run, scene.at, scene.diary()
    trials = run.trials()
    assert [trial.number for trial in trials] == list(range(TRIALS)), "none is lost"
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * TRIALS, [trial.reason for trial in trials]
    told = "\n".join([*(trial.reason for trial in trials), *(message for _, _, message in run.events())])
    assert not [word for word in ("failed", "SIGKILL", "memory") if word in told], told
    strategy = strategy_for(run.job, run.job.search_space(), 11)
    assert [trial.parameters for trial in trials] == [strategy.suggest(number) for number in range(TRIALS)]
    assert [trial.metrics for trial in trials] == [{"score": 2 * trial.parameters["x"]} for trial in trials]
    for trial in trials:
        steps = [report.step for report in run.reports(trial.number) if report.attempt == trial.attempt]
        assert steps == [1, 2], "every report is there once"
    assert set(Counter(lines).values()) == {1}, "no attempt runs twice"
    assert {f"end {trial.number} {trial.attempt}" for trial in trials} <= set(lines)
    begins = Counter(int(line.split()[1]) for line in lines if line.startswith("begin"))
    twice = {number for number, count in begins.items() if count > 1}
    assert set(begins.values()) <= {1, 2}
    assert len(twice) <= PARALLEL, "only what was in flight begins again"
    assert not twice & before, "no trial that had ended begins again"
    assert all(f"begin {number} 1" in begun for number in twice)
    if at.way in HARMLESS or at.way in KINDS[at.kind].goes_on:
        assert not twice, "what went on is taken over"
