"""Ctrl-C before a run has started: it is interrupted, can be resumed, and nothing runs any more."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import SLOW, job_of
from places import Place, group_of, place_of

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.driver import process as driver_process
from cloudtune.plugins.entry_points import emulators, providers
from cloudtune.provider.emulated import emulator_of
from cloudtune.provider.managed_run import ManagedRun, Tuner
from cloudtune.run import Run
from cloudtune.store.records import RunState
from cloudtune.store.store import RunStore

BREAK: Any = KeyboardInterrupt
Patch = Callable[[pytest.MonkeyPatch, Run], None]


def _broken(*_: object, **__: object) -> Any:
    raise BREAK


def before_it_is_followed(patches: pytest.MonkeyPatch, run: Run) -> None:
    patches.setattr(type(run._provider), "follow", _broken)


def before_its_driver(patches: pytest.MonkeyPatch, _: Run) -> None:
    patches.setattr(driver_process, "_run_driver", _broken)


def when_its_job_was_made(patches: pytest.MonkeyPatch, run: Run) -> None:
    """The service makes the tuning job, and the answer is lost."""
    tuner = _tuner_of(run)
    create = tuner.create

    def lost(self: Tuner, *, again: bool) -> str:
        create(self, again=again)
        raise BREAK

    patches.setattr(tuner, "create", lost)


def before_its_job_is_made(patches: pytest.MonkeyPatch, run: Run) -> None:
    patches.setattr(_tuner_of(run), "create", _broken)


def _tuner_of(run: Run) -> type[Tuner]:
    found = run._provider.managed(run._store)  # type: ignore[attr-defined]
    assert isinstance(found, ManagedRun)
    return type(found.tuner)


WINDOWS: dict[str, tuple[Patch, str]] = {
    "not followed": (before_it_is_followed, "driven"),
    "no driver": (before_its_driver, "driven"),
    "job not made": (before_its_job_is_made, "managed"),
    "job made": (when_its_job_was_made, "managed"),
}
TUNERS = ("azureml", "sagemaker", "vertex")
BY_DEFAULT = {("local", "no driver"), ("local", "not followed"), ("sagemaker", "job made")}


def _cells() -> Iterator[Any]:
    for provider in sorted(providers()):
        for window, (_, mode) in WINDOWS.items():
            if mode == "driven" or provider in TUNERS:
                marks = [group_of(provider, "starts")]
                marks += [] if (provider, window) in BY_DEFAULT else [pytest.mark.complete]
                yield pytest.param(provider, window, marks=marks, id=f"{provider}, {window}")


@pytest.mark.parametrize(("provider", "window"), list(_cells()))
def test_a_run_that_ctrl_c_keeps_from_starting_is_interrupted_and_can_be_resumed(
    provider: str, window: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, mode = WINDOWS[window]
    with place_of(provider, tmp_path) as place:
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        run = prepared(place, {"mode": mode} if provider in TUNERS else {})
        with pytest.MonkeyPatch.context() as patches:
            patch(patches, run)
            with pytest.raises(KeyboardInterrupt):
                run.wait()
        record = api.attach(run.id, project=tmp_path).record
        assert record.state is RunState.INTERRUPTED
        assert "by Ctrl-C, before it had started" in record.reason
        assert f"cloudtune resume {run.id}" in record.reason
        assert api.attach(run.id, project=tmp_path).resume().wait() is RunState.COMPLETED
        assert run.counts() == {"completed": 2}
        assert run.record.reason != record.reason


def prepared(place: Place, fields: dict[str, Any]) -> Run:
    job = job_of(place.project, SLOW, limits={"trials": 2}, **{**place.extras, **fields})
    return api.prepare(job, place.on, project=place.project, base=place.project)


def test_who_breaks_off_while_a_driver_starts_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--detach`: the driver has its own session, which Ctrl-C does not reach."""
    run = api.prepare(job_of(tmp_path, SLOW, limits={"trials": 40}), "local", project=tmp_path, base=tmp_path)
    started: list[Any] = []

    def broken(_: RunStore, process: Any) -> None:
        started.append(process)
        raise BREAK

    monkeypatch.setattr(driver_process, "_await_driver", broken)
    with pytest.raises(KeyboardInterrupt), run.unless_refused():
        run.start()
    assert started[0].returncode is not None
    assert run.state is RunState.INTERRUPTED


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(name, marks=[group_of(name, "starts"), *([] if name == "kubernetes" else [pytest.mark.complete])])
        for name in sorted(emulators())
    ],
)
def test_a_command_that_is_broken_off_while_its_emulator_starts_leaves_nothing(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW).to_yaml())
    before = set(threading.enumerate())
    emulator = emulator_of(provider)
    begin = emulator.start

    def started_and_broken(self: Any) -> None:
        begin(self)
        raise BREAK

    for broken in (_broken, started_and_broken):
        with monkeypatch.context() as patches:
            patches.setattr(emulator, "start", broken)
            assert run_app(["run", "job.yaml", "--on", provider, "--emulate", "--quiet"]) == 130
        assert api.runs(project=tmp_path) == []
        assert not [each for each in set(threading.enumerate()) - before if not each.daemon or each.name == "emulator"]
    for window in ("cloudtune.cli.launching.ask_before_spending", "cloudtune.cli.launching.follow_to_its_end"):
        with monkeypatch.context() as patches:
            patches.setattr(window, _broken)
            assert run_app(["run", "job.yaml", "--on", provider, "--emulate", "--quiet"]) == 130
        run = api.attach(project=tmp_path)
        assert run.state is RunState.INTERRUPTED
        assert "by Ctrl-C, before it had started" in run.record.reason
    assert {each.state for each in api.runs(project=tmp_path)} == {RunState.INTERRUPTED}
    assert run_app(["resume", "--quiet"]) == 0
    assert api.attach(project=tmp_path).counts() == {"completed": 4}
