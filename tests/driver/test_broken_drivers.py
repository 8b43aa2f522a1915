"""Whatever breaks a driver, none of its trials fails by that: a resume goes on with them, wherever they run.

By default every way to break is shown for programs and workers on this machine, and one or two for isolated functions, on SageMaker,
Vertex AI and several at once; ``pytest --complete`` shows all.
"""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from places import Place, group_of, place_of

from cloudtune import TuningJob, api
from cloudtune.driver.loop import Driver
from cloudtune.errors import DriverError, StoreError
from cloudtune.run import Run
from cloudtune.search import rule_for, strategy_for
from cloudtune.store.records import RunState, TrialState
from cloudtune.store.store import RunStore

TRIALS = 6
FREE = 3
"""Trials of a lower number run through; the others wait for a sign."""

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
        while trial.number() >= {free} and not (here / "go").exists():
            time.sleep(0.02)
        trial.report(score=x, step=2)
        note("end")
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of trial.

    Attributes:
        provider: where it runs.
        trial: what the job says of it.
        fields: what else the job says.
    """

    provider: str
    trial: dict[str, Any]
    fields: dict[str, Any]


COMMAND = {"command": "python train.py"}
FUNCTION = {"function": "train:body"}
KINDS = {
    "process": Kind("local", COMMAND, {}),
    "isolated function": Kind("local", FUNCTION, {"local": {"isolate": True}}),
    "worker": Kind("local", FUNCTION, {}),
    "process on Ray": Kind("ray", COMMAND, {}),
    "worker on Ray": Kind("ray", FUNCTION, {}),
    "task on Slurm": Kind("slurm", COMMAND, {}),
    "sagemaker": Kind("sagemaker", COMMAND, {"mode": "driven"}),
    "vertex": Kind("vertex", COMMAND, {"mode": "driven"}),
    "azureml": Kind("azureml", COMMAND, {"mode": "driven"}),
    "mixed": Kind("mixed", COMMAND, {}),
}
GO_ON = ("sagemaker", "vertex", "azureml", "task on Slurm")
"""The kinds whose trials go on without their driver."""


def diary(here: Path) -> list[str]:
    path = here / "diary"
    return path.read_text().splitlines() if path.exists() else []


def busy(here: Path) -> bool:
    """Whether the first trials have ended, and two others run and wait."""
    lines = [line.split()[0] for line in diary(here)]
    return lines.count("begin") >= FREE + 2 and lines.count("end") >= FREE


# Ways to break


Patch = Callable[[pytest.MonkeyPatch, Run, Path], None]


def raising(owner: type, name: str, error: BaseException, due: Callable[..., bool]) -> Patch:
    """Has a method raise an error instead of doing what it does, once it is due."""

    def patch(patches: pytest.MonkeyPatch, _run: Run, here: Path) -> None:
        method = getattr(owner, name)

        def broken(self: Any, *arguments: Any, **named: Any) -> Any:
            if due(here, *arguments):
                raise error
            return method(self, *arguments, **named)

        patches.setattr(owner, name, broken)

    return patch


def in_the_strategy(name: str, due: Callable[..., bool]) -> Patch:
    def patch(patches: pytest.MonkeyPatch, run: Run, here: Path) -> None:
        owner = type(strategy_for(run.job, run.job.search_space(), 1))
        raising(owner, name, ZeroDivisionError("a bug"), due)(patches, run, here)

    return patch


def in_the_rule(patches: pytest.MonkeyPatch, run: Run, here: Path) -> None:
    owner = type(rule_for(run.job))
    raising(owner, "observe", KeyError("a bug"), lambda _, number, *_more: number >= FREE)(patches, run, here)


def in_poll(error: BaseException) -> Patch:
    return raising(Driver, "_handle", error, lambda here, *_: busy(here))


BREAKS: dict[str, tuple[Patch, type[BaseException]]] = {
    "a full disk": (
        raising(RunStore, "write", StoreError("the disk is full"), lambda here, *_: busy(here)),
        StoreError,
    ),
    "no memory": (raising(Driver, "_commit", MemoryError(), lambda here, *_: busy(here)), DriverError),
    "suggest": (in_the_strategy("suggest", lambda _, number: number == FREE + 1), DriverError),
    "observe": (in_the_strategy("observe", lambda _, seen: seen.number == FREE - 1), DriverError),
    "rule": (in_the_rule, DriverError),
    "RecursionError": (in_poll(RecursionError("too deep")), DriverError),
    "KeyboardInterrupt": (in_poll(KeyboardInterrupt()), KeyboardInterrupt),
    "SystemExit": (in_poll(SystemExit(3)), SystemExit),
}


def cells() -> Iterator[Any]:
    by_default = {
        "isolated function": ("no memory", "KeyboardInterrupt"),
        "process": tuple(BREAKS),
        "worker": tuple(BREAKS),
    }
    by_default |= {"sagemaker": ("a full disk",), "vertex": ("SystemExit",), "mixed": ("RecursionError",)}
    for kind, each in KINDS.items():
        for way in BREAKS:
            shown = way in by_default.get(kind, ())
            yield pytest.param(
                kind,
                way,
                marks=[group_of(each.provider, "services"), *([] if shown else [pytest.mark.complete])],
                id=f"{kind}, {way}",
            )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Place]]:
    """Gives the place of a provider, which stays for the tests to come."""
    import contextlib

    with contextlib.ExitStack() as stack:
        patches = stack.enter_context(pytest.MonkeyPatch.context())
        made: dict[str, Place] = {}

        def give(provider: str) -> Place:
            if provider not in made:
                place = stack.enter_context(place_of(provider, tmp_path_factory.mktemp(provider)))
                for name, value in place.environment.items():
                    patches.setenv(name, value)
                made[provider] = place
            return made[provider]

        yield give


def prepared(place: Place, kind: Kind, here: Path) -> Run:
    (here / "src").mkdir()
    script = textwrap.dedent(BODY).format(here=str(here), free=FREE)
    if "command" in kind.trial:
        script += '\nbody(trial.params()["x"])\n'
    (here / "src" / "train.py").write_text(script)
    fields: dict[str, Any] = {**place.extras}
    for name, value in kind.fields.items():
        fields[name] = {**fields.get(name, {}), **value} if isinstance(value, dict) else value
    data = {
        "name": "unbroken",
        "trial": {"source": "src", **kind.trial},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "strategy": {"type": "random", "seed": 11},
        "stopping": {"type": "median", "grace": 100},
        "limits": {"trials": TRIALS, "parallel": 2},
        **fields,
    }
    return api.prepare(TuningJob.from_data(data), place.on, project=place.project, base=here)


@pytest.mark.parametrize(("kind", "way"), list(cells()))
def test_no_trial_fails_when_its_driver_breaks(
    kind: str, way: str, places: Callable[[str], Place], tmp_path: Path
) -> None:
    run = prepared(places(KINDS[kind].provider), KINDS[kind], tmp_path)
    patch, raised = BREAKS[way]
    with pytest.MonkeyPatch.context() as patches:
        patch(patches, run, tmp_path)
        with pytest.raises(raised):
            run.wait()
    record = run.refreshed()
    assert record.state is RunState.INTERRUPTED
    assert f"cloudtune resume {run.id}" in record.reason
    before = {trial.number: trial for trial in run.trials()}
    states = {number: trial.state for number, trial in before.items()}
    left = TrialState.RUNNING if kind in GO_ON or way == "a full disk" or kind == "mixed" else TrialState.WAITING
    assert set(states.values()) <= {TrialState.COMPLETED, TrialState.WAITING, left}, states
    noted = Counter(line.split()[1] for line in diary(tmp_path) if line.startswith("end"))
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED, run.events()
    after = run.trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETED] * TRIALS, [trial.reason for trial in after]
    for trial in after:
        known = before.get(trial.number)
        if known is not None and known.state.ended:
            assert trial == known, "an ended trial is not touched"
        elif kind in GO_ON and known is not None and known.state is TrialState.RUNNING:
            assert trial.attempt == 1, "a trial that went on is taken over"
        assert trial.attempt <= 2
    ends = Counter(line.split()[1] for line in diary(tmp_path) if line.startswith("end"))
    twice = {number for number, count in ends.items() if count > 1}
    assert twice <= {str(number) for number, trial in before.items() if not trial.state.ended}, "nothing runs twice"
    assert noted <= ends


@pytest.mark.parametrize("kind", ["process", "worker"])
def test_a_strategy_that_cannot_restore_leaves_the_run_as_it_was(
    kind: str, places: Callable[[str], Place], tmp_path: Path
) -> None:
    run = prepared(places("local"), KINDS[kind], tmp_path)
    for patch, _ in (BREAKS["observe"], (in_the_strategy("restore", lambda *_: True), None)):
        with pytest.MonkeyPatch.context() as patches:
            patch(patches, run, tmp_path)
            with pytest.raises(DriverError, match=f"ZeroDivisionError: a bug.*cloudtune resume {run.id}"):
                run.wait()
        assert run.record.state is RunState.INTERRUPTED
        assert "ZeroDivisionError: a bug" in run.record.reason
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED
    assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}


@pytest.mark.parametrize("kind", ["process", "worker"])
def test_a_driver_in_a_thread_breaks_no_other_way(kind: str, places: Callable[[str], Place], tmp_path: Path) -> None:
    """Outside the main thread no signal is handled, and KeyboardInterrupt may come from anywhere."""
    import threading

    run = prepared(places("local"), KINDS[kind], tmp_path)
    raised: list[BaseException] = []

    def drive() -> None:
        own = api.attach(run.id, project=places("local").project)
        try:
            own.wait()
        except BaseException as error:  # noqa: BLE001  # what the test is about
            raised.append(error)

    with pytest.MonkeyPatch.context() as patches:
        in_poll(KeyboardInterrupt())(patches, run, tmp_path)
        thread = threading.Thread(target=drive)
        thread.start()
        thread.join(60)
    assert [type(error) for error in raised] == [KeyboardInterrupt]
    assert run.record.state is RunState.INTERRUPTED
    assert not [trial for trial in run.trials() if trial.state is TrialState.FAILED]
    (tmp_path / "go").touch()
    assert run.wait() is RunState.COMPLETED
