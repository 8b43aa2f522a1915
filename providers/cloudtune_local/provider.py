"""The local provider: plan, drive and end runs on this machine."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.driver.interrupt import pause
from cloudtune.errors import ConfigError, TrialError
from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.process.attempts import kept, kept_pid
from cloudtune.process.keeper_client import trial_environment
from cloudtune.process.needs import needs_of, thread_limits
from cloudtune.process.orphans import kill_orphans
from cloudtune.process.setting import Setting
from cloudtune.process.sharing import Sharing
from cloudtune.provider.driven import DrivenProvider
from cloudtune.provider.driven_plan import place_here
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune.spec.sources import heard
from cloudtune.store.records import TrialState
from cloudtune.store.secrets import kept_environment
from cloudtune.system.processes import HAS_PROCESS_GROUPS, NO_TRIALS_HERE
from cloudtune.trial import data_variable
from cloudtune.trial.hearing import hearing, variables
from cloudtune_local.translate import PROVIDER, SUPPORT, LocalSettings, translate

if TYPE_CHECKING:
    from cloudtune.bundle.survey import Where
    from cloudtune.driver.launcher import Launcher
    from cloudtune.process.leases import Resources
    from cloudtune.store.store import RunStore


class LocalProvider(DrivenProvider):
    """Runs trials as processes of this machine."""

    name = PROVIDER
    summary = "processes on this machine"
    support = SUPPORT

    def plan(self, job: TuningJob) -> Plan:
        plan = translate(job, self.mounts, self._resources(job, os.environ))
        if HAS_PROCESS_GROUPS:
            return plan
        return plan.with_notes([Note("trial", Support.UNSUPPORTED, NO_TRIALS_HERE)])

    def _resources(self, job: TuningJob, environ: Mapping[str, str]) -> "Resources | None":
        """Return what this machine has for a job's trials; None if they need nothing of it in particular.

        Raises:
            ConfigError: a setting of the profile is invalid.
        """
        if not (self.settings or needs_of(job)):
            return None
        from cloudtune_local.machine import LocalProfile, resources_for  # noqa: PLC0415  # most jobs need nothing

        profile = LocalProfile.of(self.settings, PROVIDER)
        return resources_for(job, profile, environ) if needs_of(job) else None

    def where(self, job: TuningJob) -> "Where":
        from cloudtune.bundle.survey import Where  # noqa: PLC0415  # reading a run looks at no files

        found = {name: place_here(value, PROVIDER, self.mounts) for name, value in job.data.items()}
        inputs = {name: place for name, place in found.items() if place is not None}
        python = job.native_settings("local").get("python")
        return Where(remote=False, inputs=inputs, python=python if isinstance(python, str) else None)

    def check(self) -> list[Finding]:
        from cloudtune_local.machine import LocalProfile, gpus_in_words  # noqa: PLC0415

        free = shutil.disk_usage(Path.cwd()).free
        return [
            Finding("system", HAS_PROCESS_GROUPS, f"{platform.system()} {platform.machine()}; trials need Linux or macOS (on Windows: WSL)"),
            Finding("python", True, f"{platform.python_version()} at {sys.executable}"),
            Finding("processors", None, f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} for all trials together"),
            Finding("gpus", None, gpus_in_words(LocalProfile.of(self.settings, PROVIDER))),
            Finding("disk", free > 1_000_000_000, f"{free / 1e9:,.1f} GB free for logs and outputs below {Path.cwd()}"),
            Finding("store", os.access(Path.cwd(), os.W_OK), f"{'may' if os.access(Path.cwd(), os.W_OK) else 'may not'} write to {Path.cwd()}"),
        ]  # fmt: skip

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        super().prepare(run, job)
        base = Path(run.record().native["base"])
        if job.trial.source is not None:
            from cloudtune.bundle.source import copy_source  # noqa: PLC0415  # only jobs with a source need it

            copy_source(job, base, run.folder / "source")
        self._keep_views(run, job, base)

    def reopen(self, run: "RunStore", job: TuningJob) -> None:
        super().reopen(run, job)
        pickled = run.record().native.get("pickle")
        if pickled is not None and not (run.folder / pickled).exists():
            raise ConfigError(f"the function of {run.id} and its data were removed when it ended: start a search anew")

    def _keep_views(self, run: "RunStore", job: TuningJob, base: Path) -> None:
        """Link the files of each input that would be uploaded to a service, so that local trials see the same ones."""
        if not job.data:
            return
        from cloudtune.bundle.package import view_of  # noqa: PLC0415  # only jobs with data need it

        for name, place in self.where(job).inputs.items():
            view_of((base / place).resolve(), _view(run, name))

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        trial = run.existing(number)
        job = TuningJob.from_data(json.loads(run.record().job))
        files = _setting(run, job, run.record().native, secrets=False).files(trial).copy_output(target)
        if not files:
            raise TrialError(f"trial {number} left no files")
        return files

    # A site of driven runs

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        native = run.record().native
        setting = _setting(run, job, native)
        _end_orphans(run, setting)  # before this run has a keeper, which would be ended as well
        resources = self._resources(job, setting.environment)
        sharing = Sharing(resources, needs_of(job), lambda text: run.write(events=[(None, text)]))
        return _launcher(setting, sharing, run, native)

    def abandon(self, run: "RunStore") -> None:
        kill_orphans(run.folder, set())


def _view(run: "RunStore", name: str) -> Path:
    """Return the folder of links to the uploaded part of an input, which exists where that is not all of it."""
    return run.folder / f"input-{name.encode().hex()}"


def _setting(run: "RunStore", job: TuningJob, native: Mapping[str, str], *, secrets: bool = True) -> Setting:
    base = Path(native["base"])
    settings = LocalSettings.model_validate(job.native_settings("local"))
    source = run.folder / "source"
    plan = json.loads(run.record().plan)["request"]
    output = plan["output"]
    own = kept_environment(run) if secrets and job.trial.environment else {}
    environment = trial_environment(os.environ, run.id, run.folder, settings.python)
    for name, place in plan["data"].items():
        view = _view(run, name)
        environment[data_variable(name)] = str(view if view.is_dir() else (base / place).resolve())
    environment |= thread_limits(needs_of(job), {**environment, **own})
    environment = hearing({**environment, **own, **variables(heard(job))})
    limit = job.limits.trial_time
    return Setting(
        job=job,
        run_id=run.id,
        folder=run.folder,
        work=source if source.exists() else base,
        outputs=None if output is None else base / output / run.id,
        environment=environment,
        memory=job.compute.memory,
        seconds=None if limit is None else limit.total_seconds(),
        grace=settings.grace,
        log_size=settings.log_size,
    )


def _launcher(setting: Setting, sharing: Sharing, run: "RunStore", native: Mapping[str, str]) -> "Launcher":
    from cloudtune_local.processes import ProcessLauncher  # noqa: PLC0415  # only who drives launches

    if setting.job.trial.function is None:
        return ProcessLauncher(setting, sharing)
    load: dict[str, Any] = {
        "pickle": str(run.folder / native["pickle"]) if "pickle" in native else None,
        "function": setting.job.trial.function,
        "cwd": str(setting.work),
        "path": [str(setting.work), *(path for path in sys.path if path)],
    }
    if LocalSettings.model_validate(setting.job.native_settings("local")).isolate:
        return ProcessLauncher(setting, sharing, load)
    if native.get("keeper") == "spare":
        from cloudtune_local.spare import SparePool  # noqa: PLC0415

        return SparePool(setting, sharing, load)
    from cloudtune_local.pool import PoolLauncher  # noqa: PLC0415

    return PoolLauncher(setting, sharing, load)


_RECORDING = 0.3
"""Seconds that a living keeper has to write down the process of a trial that it was about to start when its driver died."""


def _end_orphans(run: "RunStore", setting: Setting) -> None:
    """End the processes that a dead driver left behind, except trials that this driver can adopt."""
    running = run.trials(TrialState.RUNNING)
    if run.record().started is None:
        return
    attempts = [setting.files(trial) for trial in running]

    def written_down() -> bool:  # a keeper that lives may have begun a trial that it has not written down yet
        return not any(map(kept, attempts)) or all(Path(files.record).exists() for files in attempts)

    pause(_RECORDING, written_down)
    pids = map(kept_pid, attempts)
    kill_orphans(run.folder, {pid for pid in pids if pid is not None})
