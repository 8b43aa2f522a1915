"""kill -9 of the driver while a cloud service runs its trials: no job twice, none forgotten, and the right result.

By default some kills a service, all kinds of them on Vertex AI, whose names of jobs are no protection; ``pytest --complete`` does many more.
"""

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from places import group_of, others_in, profile_of, write_profiles

from cloudtune import TuningJob, api
from cloudtune.emulation.faults import Fault, Faults
from cloudtune.run import Run
from cloudtune.search import strategy_for
from cloudtune.store.records import RunState, TrialState

TRIALS = 8
KILLS = {False: (1, 6), True: (3, 12)}
"""By whether all is run: in how many tests a service, and how many kills in each, of every kind equally many."""

# Every attempt leaves a line when it begins, and one when it ends; one that a later one follows waits for being stopped.
SCRIPT = """
    import pathlib, time
    import cloudtune.trial as trial

    diary = pathlib.Path({diary!r})

    def note(what, attempt):
        with diary.open("a") as file:
            file.write(f"{{what}} {{trial.number()}} {{attempt}}\\n")

    note("begin", trial.attempt())
    for step in range(1, 4):
        trial.report(score=trial.params()["x"] * step, step=step)
        time.sleep(0.05)
    if f"begin {{trial.number()}} {{trial.attempt() + 1}}\\n" in diary.read_text():
        time.sleep(20)
    note("end", trial.attempt())
"""

# Imports what takes seconds once; each line that it reads makes a driver, of which it tells the id, and then the exit code.
DRIVERS = """
import importlib, os, sys, traceback
for module in sys.argv[1:]:
    importlib.import_module(module)
from cloudtune.cli.drive import main
for line in sys.stdin:
    driver = os.fork()
    if driver == 0:
        try:
            os._exit(main(*line.split()))
        except BaseException:
            traceback.print_exc()
        os._exit(70)
    print(driver, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(driver, 0)[1]), flush=True)
"""

MOMENTS = ("any time", "call refused", "call heard", "making refused", "making heard", "making heard late")
"""When a driver is killed: by the clock, or when it makes a call, of any kind or to make a job, and what becomes of the call."""


@dataclass(frozen=True, slots=True)
class Service:
    """What differs between the services.

    Attributes:
        emulator: makes its emulator, which gets the faults.
        making: the operation that makes a trial's job.
        stopping: the one that stops it.
        modules: what its driver imports.
        jobs: its jobs: the place of the trial (`Trial.place`) that each was made for, and whether it still runs.
        named: whether the name of a trial's job is ours, so that no call can make it twice.
    """

    emulator: Callable[[Faults], contextlib.AbstractContextManager[Any]]
    making: str
    stopping: str
    modules: tuple[str, ...]
    jobs: Callable[[Any], list[tuple[str, bool]]]
    named: bool


def sagemaker(faults: Faults) -> Any:
    pytest.importorskip("moto")
    from cloudtune_sagemaker.emulator import SageMakerEmulator

    return SageMakerEmulator(faults=faults, grace=0.2)


def training_jobs(_: Any) -> list[tuple[str, bool]]:
    import boto3

    pages = boto3.Session().client("sagemaker").get_paginator("list_training_jobs").paginate()
    found = [each for page in pages for each in page["TrainingJobSummaries"]]
    return [(each["TrainingJobName"], each["TrainingJobStatus"] == "InProgress") for each in found]


def vertex(faults: Faults) -> Any:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from cloudtune_vertex.emulator import VertexEmulator

    return VertexEmulator(faults=faults, grace=0.2)


def custom_jobs(emulator: Any) -> list[tuple[str, bool]]:
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.settings import VertexSettings
    from cloudtune_vertex.tuner import JOB_STATES

    google = Google(VertexSettings(project=emulator.project, endpoint=f"http://{emulator.target}"))
    found = google.jobs.list_custom_jobs(request={"parent": google.parent})
    labels = ("cloudtune-run", "cloudtune-trial", "cloudtune-attempt")
    return [("/".join(job.labels[each] for each in labels), not JOB_STATES[job.state.name].ended) for job in found]


def azureml(faults: Faults) -> Any:
    pytest.importorskip("azure.ai.ml")
    from cloudtune_azureml.emulator import AzureMlEmulator

    return AzureMlEmulator(faults=faults, grace=0.2)


def command_jobs(emulator: Any) -> list[tuple[str, bool]]:
    from cloudtune_azureml.emulator.records import TERMINAL

    return [(run.name, run.status().state not in TERMINAL) for run in emulator.jobs.runs.all()]


def kubernetes(faults: Faults) -> Any:
    pytest.importorskip("kubernetes")
    from cloudtune_kubernetes.emulator import Faults as OfCluster
    from cloudtune_kubernetes.emulator import KubernetesEmulator
    from cloudtune_kubernetes.emulator.kinds import JOB
    from cloudtune_kubernetes.names import TRIAL

    class Struck(OfCluster):
        def of_call(self, service: str, operation: str) -> Fault:
            return faults.of_call(service, operation)

    class Remembering(KubernetesEmulator):
        """Knows all Jobs of trials that there were: a run removes its own when it ends, and reads a volume by further ones."""

        def start(self) -> Any:
            self.made: list[str] = []
            self.registry.store.listen(self._note)
            return super().start()

        def _note(self, kind: Any, change: Any) -> None:
            if kind == JOB and change.kind == "ADDED" and TRIAL in change.now["metadata"]["labels"]:
                self.made.append(change.now["metadata"]["name"])

    return Remembering(faults=Struck(), grace=0.2)


def cluster_jobs(emulator: Any) -> list[tuple[str, bool]]:
    from cloudtune_kubernetes.emulator.kinds import JOB

    there = {each["metadata"]["name"]: each["status"] for each in emulator.registry.store.objects(JOB)}
    return [(name, name in there and not there[name].get("conditions")) for name in emulator.made]


def databricks(faults: Faults) -> Any:
    pytest.importorskip("databricks.sdk")
    from cloudtune_databricks.emulator import DatabricksEmulator
    from cloudtune_databricks.emulator import Faults as OfWorkspace

    class Struck(OfWorkspace):
        def of_call(self, service: str, operation: str) -> Fault:
            return faults.of_call(service, operation) if service in ("jobs", "files", "trial") else ""

    return DatabricksEmulator(faults=Struck(), grace=0.2)


def one_time_runs(emulator: Any) -> list[tuple[str, bool]]:
    return [(run.program.name, run.active) for run in list(emulator.runs.all.values())]


SERVICES = {
    "databricks": Service(
        databricks, "SubmitRun", "CancelRun", ("cloudtune_databricks.jobs", "databricks.sdk"), one_time_runs, True
    ),
    "kubernetes": Service(
        kubernetes, "CreateJob", "DeleteJob", ("cloudtune_kubernetes.jobs", "kubernetes.client"), cluster_jobs, True
    ),
    "sagemaker": Service(
        sagemaker, "CreateTrainingJob", "StopTrainingJob", ("cloudtune_sagemaker.jobs",), training_jobs, True
    ),
    "vertex": Service(
        vertex,
        "CreateCustomJob",
        "CancelCustomJob",
        ("cloudtune_vertex.jobs", "google.cloud.aiplatform_v1", "google.cloud.storage", "google.cloud.logging"),
        custom_jobs,
        False,
    ),
    "azureml": Service(
        azureml, "PutJob", "CancelJob", ("cloudtune_azureml.jobs", "azure.ai.ml.entities"), command_jobs, True
    ),
}


class Killer(Faults):
    """Kills the driver at one of its calls, before the service has done anything about it.

    Args:
        service: whose operations it knows.
    """

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._operations = {"making": service.making, "stopping": service.stopping}
        self._moment: str | None = None
        self._calls = 0
        self._driver = 0
        self._driving = threading.Event()
        self._making_again = threading.Event()
        self._aiming = threading.Lock()

    def aim(self, moment: str, calls: int) -> None:
        """The next driver is killed at such a call, after so many others of the kind."""
        self._moment, self._calls = moment, calls
        self._driving.clear()

    def at(self, driver: int) -> None:
        """Says who is to be killed; 0 for nobody any more."""
        self._driver = driver
        self._driving.set()
        if not driver:
            self._moment = None
            self._making_again.set()

    def of_call(self, service: str, operation: str) -> Fault:
        if service == "trial":
            return ""  # a program's own
        self._driving.wait(10)
        if operation == self._operations["making"]:
            self._making_again.set()
        with self._aiming:
            moment = self._struck(operation)
        if moment == "making heard late":
            self._making_again.wait(10)  # the next driver has asked for the job by now, and is about to make it
        return "error" if moment.endswith("refused") else ""

    def _struck(self, operation: str) -> str:
        """Kills the driver if it is time to; returns the moment, "" if it is not."""
        kind, _, _ = (self._moment or "").partition(" ")
        if kind in ("", "any") or self._operations.get(kind, operation) != operation:
            return ""
        self._calls -= 1
        if self._calls >= 0:
            return ""
        moment, self._moment = self._moment, None
        self._making_again.clear()
        os.kill(self._driver, signal.SIGKILL)
        return moment or ""


class Drivers:
    """Starts drivers of a run without each having to import a service's SDK."""

    def __init__(self, modules: tuple[str, ...], killer: Killer, log: Path) -> None:
        self._killer = killer
        with log.open("wb") as errors:
            command = [sys.executable, "-c", DRIVERS, *modules]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)

    def drive(self, project: Path, run: str, *, seconds: float | None = None) -> int:
        """Has a driver drive a run, at most for some seconds; returns its exit code."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{project} {run}\n".encode())
        stdin.flush()
        driver = int(stdout.readline())
        self._killer.at(driver)
        ended, _, _ = select.select([stdout], [], [], 60 if seconds is None else seconds)
        if not ended:
            os.kill(driver, signal.SIGKILL)
        code = int(stdout.readline())
        assert ended or seconds is not None, "the driver did not come to its end"
        return code

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(100)


@dataclass(frozen=True, slots=True)
class Scene:
    """A service whose driver can be killed."""

    service: Service
    emulator: Any
    killer: Killer
    drivers: Drivers
    profile: Mapping[str, Any]


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    service = SERVICES[request.param]
    killer = Killer(service)
    killer.at(0)
    with service.emulator(killer) as emulator, pytest.MonkeyPatch.context() as environment:
        for name, value in others_in(emulator.environment).items():
            environment.setenv(name, value)
        log = tmp_path_factory.mktemp("drivers") / "log"
        with contextlib.closing(Drivers(service.modules, killer, log)) as drivers:
            yield Scene(service, emulator, killer, drivers, profile_of(request.param, emulator.environment))
        print(log.read_text())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Spreads the kills over tests, which xdist runs side by side."""
    if "part" in metafunc.fixturenames:
        parts, _ = KILLS[metafunc.config.getoption("complete")]
        metafunc.parametrize("part", range(parts))


def on(service: str, *, complete: bool = False) -> Any:
    """Return the parameter of a service; one worker runs all of its tests, since each would start its emulator and drivers."""
    marks = [group_of(service, "kills"), *([pytest.mark.complete] if complete else [])]
    return pytest.param(service, marks=marks)


def prepared(scene: Scene, project: Path, script: str = SCRIPT, **fields: Any) -> Run:
    """A run that nobody drives yet."""
    (project / "src").mkdir()
    (project / "src" / "train.py").write_text(textwrap.dedent(script).format(diary=str(project / "diary")))
    write_profiles(project, there=scene.profile)
    job = TuningJob.from_data(
        {
            "name": "survivor",
            "mode": "driven",
            "trial": {"source": "src", "command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 11},
            "limits": {"trials": TRIALS, "parallel": 2},
            **fields,
        }
    )
    return api.prepare(job, "there", project=project, base=project)


@pytest.mark.parametrize("scene", [on(name, complete=name != "vertex") for name in SERVICES], indirect=True)
def test_a_driver_that_is_killed_again_and_again_makes_no_job_twice_and_forgets_none(
    scene: Scene, part: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(part)
    _, count = KILLS[request.config.getoption("complete")]
    kills = [MOMENTS[index % len(MOMENTS)] for index in range(count)]
    chance.shuffle(kills)
    project = tmp_path
    while kills:  # a run may end before all kills are done: then there is another one
        project = tmp_path / str(len(kills))
        project.mkdir()
        run = prepared(scene, project)
        before = scene.service.jobs(scene.emulator)
        done = killed_to_the_end(scene, run, project, kills, chance)
        check(scene, run, project, before, done)


def killed_to_the_end(scene: Scene, run: Run, project: Path, kills: list[str], chance: random.Random) -> Counter[str]:
    """Drives a run to its end through some of the kills, which are taken away; returns which ones."""
    done: Counter[str] = Counter()
    while kills:
        moment = kills[-1]
        scene.killer.aim(moment, chance.randrange(2 if moment.startswith("making") else 20))
        code = scene.drivers.drive(project, run.id, seconds=chance.uniform(0.02, 0.6) if moment == "any time" else None)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        done[kills.pop()] += 1
    scene.killer.aim("any time", 0)
    assert scene.drivers.drive(project, run.id) == 0
    scene.killer.at(0)
    return done


def check(scene: Scene, run: Run, project: Path, before: list[tuple[str, bool]], kills: Counter[str]) -> None:
    trials = run.trials()
    assert run.state is RunState.COMPLETED, run.events()
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert all(trial.state is TrialState.COMPLETED for trial in trials), [trial.reason for trial in trials]
    strategy = strategy_for(run.job, run.job.search_space(), 11)
    assert [trial.parameters for trial in trials] == [strategy.suggest(number) for number in range(TRIALS)]
    for trial in trials:
        reports = [report for report in run.reports(trial.number) if report.attempt == trial.attempt]
        assert [report.step for report in reports] == [1, 2, 3], "every report is there once"
        assert trial.metrics["score"] == pytest.approx(trial.parameters["x"] * 3)
    check_jobs(scene, run, before, kills)
    noted = Counter((project / "diary").read_text().splitlines())
    assert set(noted.values()) == {1}, "no attempt ran twice"
    ends, wanted = {line for line in noted if line.startswith("end")}, {f"end {t.number} {t.attempt}" for t in trials}
    assert ends >= wanted
    assert ends == wanted or not scene.service.named, "and no other came to its end"


def check_jobs(scene: Scene, run: Run, before: list[tuple[str, bool]], kills: Counter[str]) -> None:
    """Every job of the service is a trial's, and there is one for each; attempts are lost where no name protects them."""
    jobs = Counter(place for place, _ in scene.service.jobs(scene.emulator)) - Counter(place for place, _ in before)
    wanted = {trial.place for trial in run.trials()}
    assert set(jobs.values()) == {1}, "no job was made twice"
    assert wanted <= jobs.keys()
    assert not any(runs for _, runs in scene.service.jobs(scene.emulator)), "no job is left running"
    lost = sum(trial.attempt - 1 for trial in run.trials())
    assert len(jobs.keys() - wanted) <= lost
    assert lost <= (0 if scene.service.named else 2 * kills.total())


# One kill at a time


@pytest.mark.parametrize(
    "scene", [on(name, complete=name in ("databricks", "kubernetes", "azureml")) for name in SERVICES], indirect=True
)
def test_a_job_that_is_made_after_its_driver_died_is_the_trials_own_or_is_stopped(scene: Scene, tmp_path: Path) -> None:
    run = prepared(scene, tmp_path, limits={"trials": 2, "parallel": 1})
    scene.killer.aim("making heard late", 0)
    assert scene.drivers.drive(tmp_path, run.id) == -signal.SIGKILL
    assert scene.drivers.drive(tmp_path, run.id) == 0
    scene.killer.at(0)
    assert run.wait() is RunState.COMPLETED
    noted = (tmp_path / "diary").read_text().splitlines()
    ends = sorted(line for line in noted if line.startswith("end"))
    assert ends == [f"end {trial.number} {trial.attempt}" for trial in run.trials()]
    own = [state for place, state in scene.service.jobs(scene.emulator) if place.startswith(run.trials()[0].place[:-1])]
    assert own == [False] if scene.service.named else own == [False, False]


LEFT_OUT = (
    ("databricks", "refused"),
    ("databricks", "heard"),
    ("kubernetes", "refused"),
    ("kubernetes", "heard"),
    ("vertex", "heard"),
    ("azureml", "refused"),
    ("azureml", "heard"),
    ("sagemaker", "refused"),
)
"""Where by default a stop is not tried that a service refused, or heard: each of two services shows one of them."""

PRUNED = """
    import time
    import cloudtune.trial as trial
    bad = trial.number() == 1
    trial.report(score=0.1 if bad else 1.0, step=1)
    time.sleep(20 if bad else 0)
"""


@pytest.mark.parametrize(
    ("scene", "moment"),
    [
        pytest.param(name, f"stopping {becomes}", marks=on(name, complete=(name, becomes) in LEFT_OUT).marks)
        for name in SERVICES
        for becomes in ("refused", "heard")
    ],
    indirect=["scene"],
)
def test_a_trial_is_pruned_whether_or_not_the_service_heard_of_it(scene: Scene, moment: str, tmp_path: Path) -> None:
    run = prepared(
        scene, tmp_path, PRUNED, stopping={"type": "bandit", "slack_factor": 0.1}, limits={"trials": 3, "parallel": 1}
    )
    scene.killer.aim(moment, 0)
    assert scene.drivers.drive(tmp_path, run.id) == -signal.SIGKILL
    assert scene.drivers.drive(tmp_path, run.id) == 0
    scene.killer.at(0)
    good, bad = TrialState.COMPLETED, TrialState.PRUNED
    assert [trial.state for trial in run.trials()] == [good, bad, good], [trial.reason for trial in run.trials()]
    assert run.trials()[1].reason == "pruned at step 1 by the bandit rule"
    assert run.trials()[1].metrics == {"score": 0.1}
    assert not any(runs for _, runs in scene.service.jobs(scene.emulator))
