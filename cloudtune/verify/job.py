"""The smallest job there is, and every use of a profile that is made with it."""

import contextlib
import tempfile
from pathlib import Path

from cloudtune import api
from cloudtune.errors import ProviderError, RunNotFound, TrialError
from cloudtune.provider.answers import Answer
from cloudtune.provider.interface import Provider
from cloudtune.remote.resolving import resolve
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState

_SCRIPT = """\
import pathlib
import time

import cloudtune.trial as trial

x = trial.params()["x"]
for step in range(1, 4):
    trial.report(score=x * step, step=step)
    time.sleep(0.5)
pathlib.Path(trial.output_dir(), "model.txt").write_text(str(x))
"""

_MACHINES = ("instance", "machine", "compute")
"""Settings of a profile that name its machines."""

MISSING = "cloudtune-verify-missing"
"""A name of no job: what a service answers about it is compared, too."""


def smallest_job(provider: Provider, mode: str, cost: str | None) -> TuningJob:
    """Return a job of two trials of seconds, on the cheapest machine if the profile names none.

    Args:
        provider: with the settings of the profile.
        mode: ``managed`` or ``driven``.
        cost: the most that it may cost, e.g. ``USD 1``; None for no such limit.
    """
    named = any(provider.settings.get(name) for name in _MACHINES)
    limits = {"trials": 2, "parallel": 2, "time": "30m", "trial_time": "10m"}
    return TuningJob.from_data(
        {
            "name": "cloudtune-verify",
            "mode": mode,
            "trial": {"source": "src", "command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.1, "high": 1.0}},
            "strategy": {"type": "random"},
            **({} if named else {"compute": {"cpus": 1}}),
            "limits": {**limits, **({} if cost is None else {"cost": cost})},
        }
    )


def answers_to(job: TuningJob, on: str, project: Path) -> list[Answer]:
    """Run a job, read its logs and files, ask for what is not there, and return all that the service answered.

    Args:
        job: the job; see `smallest_job`.
        on: the profile.
        project: the folder of its config.

    Raises:
        ProviderError: the service refused, or the job did not end well.
    """
    provider, _, _ = resolve(on, project)
    heard: list[Answer] = []
    with tempfile.TemporaryDirectory() as name, provider.listening(heard.append):
        folder = Path(name)
        (folder / "src").mkdir()
        (folder / "src" / "train.py").write_text(_SCRIPT, "utf-8")
        (folder / "src" / "own.txt").write_text(name, "utf-8")  # so that it is uploaded, whatever is there already
        run = api.prepare(job, on, project=project, base=folder)
        _use(run, folder)
        with contextlib.suppress(RunNotFound, ProviderError):
            provider.find(MISSING)
    return heard


def _use(run: Run, folder: Path) -> None:
    if run.plan.mode == "managed":
        run.start()
    try:
        state = run.wait()
    except BaseException:
        run.cancel()  # nothing that costs money goes on
        raise
    if state is not RunState.COMPLETED:
        why = "; ".join(filter(None, [run.record.reason, *(trial.reason for trial in run.trials())]))
        raise ProviderError(f"the job for the verification ended {state.value}: {why}")
    list(run.logs(0))
    with contextlib.suppress(TrialError):
        run.fetch(0, folder / "fetched")
