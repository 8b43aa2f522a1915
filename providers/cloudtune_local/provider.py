"""The local provider: plans, drives, watches and ends runs on this machine."""

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import Problem, ProviderError, RunBusy
from cloudtune.job import TuningJob, pick
from cloudtune.plan import Plan
from cloudtune.provider import Finding, Provider, Watcher
from cloudtune.search import UnsuitableStrategy, strategy_for
from cloudtune.states import RunState, TrialState
from cloudtune_local.translate import PROVIDER, SUPPORT, LocalSettings, is_remote, translate

if TYPE_CHECKING:
    from cloudtune.driver import Interrupt
    from cloudtune.launcher import Launcher
    from cloudtune.store import RunStore
    from cloudtune_local.setting import Setting

WATCHING_INTERVAL = 0.2
"""Seconds between two looks at a run that another process drives."""

_START_TIMEOUT = 30.0


class LocalProvider(Provider):
    """Runs trials as processes of this machine."""

    name = PROVIDER
    summary = "processes on this machine"
    support = SUPPORT

    def plan(self, job: TuningJob) -> Plan:
        return translate(job)

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        places = {f"data.{name}": pick(value, PROVIDER) for name, value in job.data.items()}
        problems = [
            Problem(path, f"there is no file or folder {place!r} in {base}")
            for path, place in places.items()
            if place is not None and not is_remote(place) and not (base / place.removeprefix("file://")).exists()
        ]
        if job.trial.source is not None and not (base / job.trial.source).is_dir():
            problems.append(Problem("trial.source", f"there is no folder {job.trial.source!r} in {base}"))
        if job.warm_start is not None:
            from cloudtune.earlier import table_problems  # noqa: PLC0415  # only jobs with a warm start need it

            problems += table_problems(job.warm_start, base)
        try:
            strategy_for(job, job.search_space(), seed=0)
        except UnsuitableStrategy as error:
            problems.append(Problem("strategy", str(error)))
        return problems

    def check(self) -> list[Finding]:
        free = shutil.disk_usage(Path.cwd()).free
        systems = ("Linux", "Darwin")
        return [
            Finding("system", platform.system() in systems, f"{platform.system()} {platform.machine()}; trials need Linux or macOS (on Windows: WSL)"),
            Finding("python", True, f"{platform.python_version()} at {sys.executable}"),
            Finding("processors", None, f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} for all trials together"),
            Finding("disk", free > 1_000_000_000, f"{free / 1e9:,.1f} GB free for logs and outputs below {Path.cwd()}"),
            Finding("store", os.access(Path.cwd(), os.W_OK), f"{'may' if os.access(Path.cwd(), os.W_OK) else 'may not'} write to {Path.cwd()}"),
        ]  # fmt: skip

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        if job.trial.environment:
            descriptor = os.open(_environment_file(run), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(job.trial.environment, file)
        base = Path(run.record().native["base"])
        if job.warm_start is not None:
            from cloudtune import earlier  # noqa: PLC0415  # only jobs with a warm start need it

            earlier.keep(run.folder, earlier.known_trials(job, run.store, base))
        if job.trial.source is not None:
            from cloudtune.source import copy_source  # noqa: PLC0415  # only jobs with a source need it

            copy_source(base / job.trial.source, job.trial.ignore, run.folder / "source")

    def start(self, run: "RunStore") -> None:
        if run.driven:
            return
        command = [sys.executable, "-m", "cloudtune_local.drive", str(run.store.project), run.id]
        with (run.folder / "driver.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=run.store.project,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _START_TIMEOUT
        while not run.driven and run.record().state in (RunState.WAITING, RunState.INTERRUPTED):
            if process.poll() is not None or time.monotonic() > until:
                said = (run.folder / "driver.log").read_text(errors="replace").strip().splitlines()
                raise ProviderError(f"the driver did not start: {said[-1] if said else 'it said nothing'}")
            time.sleep(0.01)
        # The driver is its own master from here on; whoever waits for it looks at the store.
        threading.Thread(target=process.wait, daemon=True).start()

    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        if run.record().state.ended:
            return run.record().state
        try:
            with run.driving():
                return self._drive(run, watcher)
        except RunBusy:
            return self._watch(run, watcher)

    def _drive(self, run: "RunStore", watcher: Watcher | None) -> RunState:
        from cloudtune import earlier  # noqa: PLC0415  # reading a run needs none of this
        from cloudtune.driver import Driver  # noqa: PLC0415

        record = run.record()
        job = TuningJob.from_data(json.loads(record.job))
        setting = _setting(run, job, record.native)
        _end_orphans(run, setting)  # before there is a keeper, which is of this run as well
        with (
            interruptible() as interrupt,
            contextlib.closing(_launcher(setting, run, record.native)) as launcher,
        ):
            driver = Driver(
                job,
                run,
                launcher,
                seed=int(record.native["seed"]),
                watcher=watcher,
                interrupt=interrupt,
                earlier=earlier.kept(run.folder),
            )
            state = driver.drive()
        if state.ended:
            _environment_file(run).unlink(missing_ok=True)
        return state

    def _watch(self, run: "RunStore", watcher: Watcher | None) -> RunState:
        """Watches a run that another process drives."""
        from cloudtune_local.watching import Watch  # noqa: PLC0415

        watch = Watch(run)
        while True:
            alive = run.driven
            progress = watch.progress()
            if watcher is not None:
                watcher(progress)
            if progress.state.ended:
                return progress.state
            if not alive:
                self.refresh(run)
                return run.record().state
            time.sleep(WATCHING_INTERVAL)

    def refresh(self, run: "RunStore") -> None:
        state = run.record().state
        if state in (RunState.RUNNING, RunState.STOPPING) and not run.driven and run.record().state is state:
            run.write(
                columns={
                    "state": RunState.INTERRUPTED.value,
                    "reason": f"its driver is gone; `cloudtune resume {run.id}` goes on with it",
                }
            )

    def cancel(self, run: "RunStore") -> None:
        run.write(columns={"wish": "cancel"})
        try:
            with run.driving():
                self._cancel_undriven(run)
        except RunBusy:
            return  # its driver sees the wish

    def _cancel_undriven(self, run: "RunStore") -> None:
        from cloudtune_local.leftovers import end_leftovers  # noqa: PLC0415  # psutil is loaded only for this

        end_leftovers(run.folder, set())
        left = run.trials(TrialState.WAITING, TrialState.RUNNING)
        for trial in left:
            trial.state, trial.reason, trial.ended = (
                TrialState.CANCELLED,
                "cancelled by its user",
                time.time(),
            )
        run.write(
            trials=left, events=[(None, "cancelled by its user")],
            columns={"state": RunState.CANCELLED.value, "reason": "cancelled by its user", "ended": time.time()},
        )  # fmt: skip
        _environment_file(run).unlink(missing_ok=True)

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        from cloudtune_local.logs import lines_of  # noqa: PLC0415

        return lines_of(run, number, follow=follow)


@contextlib.contextmanager
def interruptible() -> Iterator["Interrupt"]:
    """Turns Ctrl-C into levels of urgency: once lets the running trials end, twice ends them; SIGTERM ends them at once.

    Only the main thread can; elsewhere the interrupt stays as it is.
    """
    from cloudtune.driver import Interrupt  # noqa: PLC0415

    interrupt = Interrupt()

    def on_signal(number: int, _frame: object) -> None:
        interrupt.level = min(interrupt.level + (1 if number == signal.SIGINT else 2), 2)

    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment_file(run: "RunStore") -> Path:
    """Where the values of the trial's environment variables are kept while the run may need them; private."""
    return run.folder / "environment.json"


def _setting(run: "RunStore", job: TuningJob, native: Mapping[str, str]) -> "Setting":
    from cloudtune_local.keeping import trial_environment  # noqa: PLC0415
    from cloudtune_local.setting import Setting  # noqa: PLC0415

    base = Path(native["base"])
    settings = LocalSettings.model_validate(job.local)
    source = run.folder / "source"
    output = pick(job.output, PROVIDER)
    own: dict[str, str] = {}
    if job.trial.environment:
        try:
            own = json.loads(_environment_file(run).read_text())
        except FileNotFoundError:
            raise ProviderError("the values of trial.environment are gone; start the job anew") from None
    environment = trial_environment(os.environ, run.id, run.folder, settings.python)
    for name, value in job.data.items():
        place = pick(value, PROVIDER)
        if place is not None:
            variable = "".join(char if char.isalnum() else "_" for char in name).upper()
            environment[f"CLOUDTUNE_DATA_{variable}"] = str((base / place.removeprefix("file://")).resolve())
    limit = job.limits.trial_time
    return Setting(
        job=job,
        run_id=run.id,
        folder=run.folder,
        work=source if source.exists() else base,
        outputs=None if output is None or is_remote(output) else base / output.removeprefix("file://") / run.id,
        environment={**environment, **own},
        memory=job.compute.memory,
        seconds=None if limit is None else limit.total_seconds(),
        grace=settings.grace,
    )


def _launcher(setting: "Setting", run: "RunStore", native: Mapping[str, str]) -> "Launcher":
    from cloudtune_local.processes import ProcessLauncher  # noqa: PLC0415

    if setting.job.trial.function is None:
        return ProcessLauncher(setting)
    load: dict[str, Any] = {
        "pickle": str(run.folder / native["pickle"]) if "pickle" in native else None,
        "function": setting.job.trial.function,
        "cwd": str(setting.work),
        "path": [str(setting.work), *(path for path in sys.path if path)],
    }
    if LocalSettings.model_validate(setting.job.local).isolate:
        return ProcessLauncher(setting, load)
    from cloudtune_local.pool import PoolLauncher  # noqa: PLC0415

    return PoolLauncher(setting, load)


def _end_orphans(run: "RunStore", setting: "Setting") -> None:
    """Ends what a dead driver left behind, but for the trials that can be taken over."""
    running = run.trials(TrialState.RUNNING)
    if run.record().started is None:
        return
    from cloudtune_local.leftovers import end_leftovers, kept_pid  # noqa: PLC0415  # psutil is loaded only for this

    pids = [kept_pid(setting.files(trial)) for trial in running]
    end_leftovers(run.folder, {pid for pid in pids if pid is not None})
