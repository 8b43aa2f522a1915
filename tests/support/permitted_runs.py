"""Everything that a profile is used for, at an emulator that enforces a policy: what of it fails, and with what words."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud_runs import job_of

from cloudtune import api
from cloudtune.errors import CloudtuneError
from cloudtune.provider.permissions import HINT
from cloudtune.remote.resolving import resolve
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

HANGS = "import time\nprint('here', flush=True)\ntime.sleep(60)\n"


@dataclass
class Uses:
    """Uses a profile in every way, and keeps what went wrong.

    Attributes:
        on: the profile.
        folder: for projects.
        fields: of the jobs.
        problems: the message of each use that failed, by what it was for.
    """

    on: str
    folder: Path
    fields: Mapping[str, Any]
    problems: dict[str, str] = field(default_factory=dict)

    def all(self, *modes: str) -> dict[str, str]:
        """Make every use; return the problems."""
        for mode in modes:
            run = self.run(mode)
            if run is not None:
                self._try(f"{mode} logs", lambda run=run: _some(list(run.logs(0)), "no line of a log"))
                self._try(f"{mode} fetch", lambda run=run, mode=mode: run.fetch(0, self.folder / f"{mode}-out"))
            if run is not None and mode == "managed":
                self._try("attach", lambda run=run: self._attach(run))
            self._try(f"{mode} cancel", lambda mode=mode: self._cancel(mode))
        if "driven" in modes:
            self._try("resume", self._resume)
        self._try("check", self._check)
        return self.problems

    def run(self, mode: str) -> Run | None:
        """Run a job to its end; return None if that failed."""
        found: Run | None = self._try(f"{mode} run", lambda: self._run(mode))
        return found

    def _try(self, use: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (CloudtuneError, AssertionError) as error:
            self.problems[use] = str(error)
        return None

    def _prepared(self, mode: str, script: str | None = None, trials: int = 1) -> Run:
        given = {} if script is None else {"script": script}
        fields = {**copy.deepcopy(dict(self.fields)), "mode": mode, "limits": {"trials": trials, "parallel": 1}}
        job = job_of(self.folder, **given, **fields)
        (self.folder / "src" / "own.txt").write_text(str(self.folder))  # code that nobody has uploaded before
        return api.prepare(job, self.on, project=self.folder, base=self.folder)

    def _run(self, mode: str) -> Run:
        run = self._prepared(mode)
        if mode == "managed":
            run.start()
        state = run.wait()
        assert state is RunState.COMPLETED, _why(run)
        refused = [message for _, _, message in run.events() if HINT in message]
        assert not refused, "; ".join(refused)
        return run

    def _attach(self, run: Run) -> None:
        (self.folder / "elsewhere").mkdir(exist_ok=True)
        other = api.attach(run.record.native["job"], self.on, project=self.folder / "elsewhere")
        assert other.wait() is RunState.COMPLETED

    def _cancel(self, mode: str) -> None:
        run = self._prepared(mode, HANGS)
        if mode == "managed":
            run.start()
            wait_until(lambda: _runs(run))
            run.cancel()
        state = run.wait(_cancelling(run))
        assert state is RunState.CANCELLED, _why(run)

    def _resume(self) -> None:
        run = self._prepared("driven", HANGS)
        with contextlib.suppress(KeyboardInterrupt):
            run.wait(_breaking)
        state = run.wait(_cancelling(run))  # in this process: another one would import the SDK first
        assert state is RunState.CANCELLED, _why(run)
        assert [trial.attempt for trial in run.trials()] == [1], "the job that ran is the one that goes on"

    def _check(self) -> None:
        provider, _, _ = resolve(self.on, self.folder)
        found = provider.check()
        denied = ("may not be asked", "refused")
        bad = [each for each in found if each.ok is False or any(words in each.message for words in denied)]
        assert not bad, "; ".join(each.message for each in bad)


def _cancelling(run: Run) -> Callable[[Any], None]:
    """Return a watcher that cancels a run as soon as a trial runs."""

    def watch(progress: Any) -> None:
        if progress.running:
            run.cancel()

    return watch


def _breaking(progress: Any) -> None:
    """Break the driver as soon as a trial runs."""
    if progress.running:
        raise KeyboardInterrupt


def _why(run: Run) -> str:
    return "; ".join([run.state.value, run.record.reason, *(trial.reason for trial in run.trials())])


def _runs(run: Run) -> bool:
    run.refresh()
    return any(trial.state is TrialState.RUNNING for trial in run.trials())


def _some(found: list[Any], otherwise: str) -> list[Any]:
    assert found, otherwise
    return found


def lines_of(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every permission in a policy: of every text in a list that names one."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from lines_of(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            if isinstance(value, str) and path[-1] in ("Action", "includedPermissions", "Actions", "DataActions"):
                yield (*path, index)
            else:
                yield from lines_of(value, (*path, index))


def without(document: Any, path: tuple[Any, ...]) -> tuple[Any, str]:
    """Return a policy without one of its lines, and the line's permission."""
    smaller = copy.deepcopy(document)
    part = smaller
    for key in path[:-1]:
        part = part[key]
    permission = str(part.pop(path[-1]))
    if not part and path[-2] != "includedPermissions":  # a statement or role that says nothing is none
        whole = smaller
        for key in path[:-3]:
            whole = whole[key]
        whole.pop(path[-3])
    return smaller, permission
