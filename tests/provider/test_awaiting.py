"""Runs are awaited from coroutines: the event loop goes on, and to cancel the waiting ends no run."""

import asyncio
from pathlib import Path
from typing import Any

from cloudtune import api
from cloudtune.results.progress import Progress
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState

GATED = "import pathlib, time\nwhile not pathlib.Path(GATE).exists():\n    time.sleep(0.02)\nprint('loss=1')\n"


def prepared(folder: Path, script: str, **limits: Any) -> Run:
    (folder / "train.py").write_text(script.replace("GATE", repr(str(folder / "gate"))))
    data = {
        "name": "awaited",
        "trial": {"command": "python train.py"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "limits": {"trials": 1, **limits},
    }
    return api.prepare(TuningJob.from_data(data), "local", project=folder, base=folder)


def test_the_event_loop_goes_on_until_the_run_has_ended(tmp_path: Path) -> None:
    run = prepared(tmp_path, GATED)
    seen: list[Progress] = []

    async def main() -> RunState:
        waiting = asyncio.create_task(run.finished(seen.append))
        while not any(progress.running for progress in seen):
            await asyncio.sleep(0.02)
        assert not waiting.done()
        (tmp_path / "gate").touch()
        return await asyncio.wait_for(waiting, 100)

    assert asyncio.run(main()) is RunState.COMPLETED
    assert seen[-1].state is RunState.COMPLETED
    assert run.best is not None
    assert asyncio.run(run.finished()) is RunState.COMPLETED


def test_to_cancel_the_task_leaves_the_run_as_it_is(tmp_path: Path) -> None:
    run = prepared(tmp_path, GATED)

    async def main() -> None:
        seen = asyncio.Event()
        waiting = asyncio.create_task(run.finished(lambda _: seen.set()))
        await seen.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(main())
    assert not run.state.ended
    (tmp_path / "gate").touch()
    assert run.wait() is RunState.COMPLETED


def test_a_run_that_is_interrupted_is_waited_for_no_more(tmp_path: Path) -> None:
    run = prepared(tmp_path, GATED)
    run._store.write(columns={"state": "running"})  # as a driver that was killed leaves it
    assert asyncio.run(run.finished()) is RunState.INTERRUPTED
