"""The SageMaker provider: plans, starts, follows and ends runs there, by its own tuner or driven by cloudtune's."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune import driving
from cloudtune.errors import ConfigError, Problem, RunBusy, TrialError
from cloudtune.job import TuningJob
from cloudtune.plan import Plan
from cloudtune.private import forget_environment, keep_environment
from cloudtune.provider import Finding, Provider, Watcher
from cloudtune.search import UnsuitableStrategy, strategy_for
from cloudtune.states import RunState, Trial, TrialState
from cloudtune_sagemaker.definition import PROVIDER
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.support import SUPPORT
from cloudtune_sagemaker.translate import hyperparameters_of, native_request, translate
from cloudtune_sagemaker.wire import codec_of

if TYPE_CHECKING:
    from cloudtune.launcher import Launcher
    from cloudtune.store import RunStore
    from cloudtune_sagemaker.client import Aws
    from cloudtune_sagemaker.managed import TuningJobWatch

_GLANCE = 1.0
"""Seconds within which a run is not looked at again by `refresh`."""


class SageMakerProvider(Provider):
    """Runs jobs as tuning jobs of Amazon SageMaker, or drives them with a training job a trial."""

    name = PROVIDER
    summary = "Amazon SageMaker: its tuner, or cloudtune's with a training job a trial"
    support = SUPPORT

    def __init__(self, settings: Mapping[str, Any], mounts: Mapping[str, Path] | None = None) -> None:
        super().__init__(settings, mounts)
        self._settings = SageMakerSettings.of(settings)
        self._watches: dict[str, tuple[TuningJobWatch, float]] = {}

    @cached_property
    def _aws(self) -> "Aws":
        from cloudtune_sagemaker.client import Aws  # noqa: PLC0415  # boto3 is loaded when the service is needed

        return Aws(self._settings)

    # Before a run

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self._settings)

    def to_native(self, job: TuningJob) -> dict[str, Any]:
        return native_request(job, self._settings)

    @classmethod
    def from_native(cls, data: Any) -> TuningJob:
        from cloudtune_sagemaker.parse import parse  # noqa: PLC0415

        return parse(data)

    def check(self) -> list[Finding]:
        from cloudtune_sagemaker.checking import findings  # noqa: PLC0415

        return findings(self._settings)

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        from cloudtune_sagemaker.assets import local_data  # noqa: PLC0415

        problems = [
            Problem(f"data.{name}", f"there is no file or folder {place!r} in {base}")
            for name, place in local_data(job).items()
            if not (base / place).exists()
        ]
        if job.trial.source is not None and not (base / job.trial.source).is_dir():
            problems.append(Problem("trial.source", f"there is no folder {job.trial.source!r} in {base}"))
        if job.warm_start is not None:
            from cloudtune.earlier import table_problems  # noqa: PLC0415

            problems += table_problems(job.warm_start, base)
        if self.plan(job).mode == "driven":
            try:
                strategy_for(job, job.search_space(), seed=0)
            except UnsuitableStrategy as error:
                problems.append(Problem("strategy", str(error)))
        return problems

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        from cloudtune_sagemaker import assets  # noqa: PLC0415
        from cloudtune_sagemaker.launching import ASSETS  # noqa: PLC0415

        native, base = run.record().native, Path(run.record().native["base"])
        keep_environment(run, job.trial.environment)
        if job.trial.command is not None or job.trial.function is not None:
            code = assets.pack(job, codec_of(job), base, run.folder / ASSETS)
            run.write(columns={"native": {**native, "code": code}})
        if job.warm_start is not None and _plan(run).mode == "driven":
            from cloudtune import earlier  # noqa: PLC0415

            earlier.keep(run.folder, earlier.known_trials(job, run.store, base))

    @classmethod
    @contextlib.contextmanager
    def emulator(cls, mounts: Mapping[str, Path]) -> Iterator[Mapping[str, str]]:
        try:
            from cloudtune_sagemaker.emulator import SageMakerEmulator  # noqa: PLC0415  # moto is a matter of its own
        except ImportError as error:
            message = f"the emulator needs {error.name}; install it with: pip install 'cloudtune[sagemaker-emulator]'"
            raise ConfigError(message) from error
        with SageMakerEmulator(mounts=mounts) as emulator:
            yield emulator.environment

    # A run

    def start(self, run: "RunStore") -> None:
        if _plan(run).mode == "driven":
            driving.start(run)
        elif run.record().state is RunState.WAITING:
            self._create(run)

    def _create(self, run: "RunStore") -> str:
        from cloudtune_sagemaker.launching import create_tuning_job  # noqa: PLC0415

        name = create_tuning_job(self._aws, run, _job(run), _plan(run))
        run.write(
            columns={"state": RunState.RUNNING.value, "started": time.time()},
            events=[(None, f"it is the tuning job {name}")],
        )
        return name

    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        if _plan(run).mode == "driven":
            return driving.follow(run, self, watcher)
        self.start(run)
        while not (state := run.record().state).ended:
            try:
                with run.driving(), driving.interruptible() as interrupt:
                    return self._watch_to_the_end(run, watcher, lambda: interrupt.level > 0)
            except RunBusy:
                driving.watch(run, watcher)
        return state

    def _watch_to_the_end(self, run: "RunStore", watcher: Watcher | None, leave: "driving.Condition") -> RunState:
        from cloudtune.watching import Watch  # noqa: PLC0415
        from cloudtune_sagemaker.client import Patience  # noqa: PLC0415

        watch, seen, patience = self._watch_of(run), Watch(run), Patience()
        state = RunState.RUNNING
        while True:
            with patience.borne():
                state = watch.look()
            if watcher is not None:
                watcher(seen.progress())
            if state.ended:
                self.settle(run)
                return state
            if driving.pause(self._settings.poll, leave):
                why = f"it goes on at SageMaker as {run.record().native['job']}; `cloudtune resume {run.id}` follows it again"
                run.write(columns={"reason": why})
                return RunState.INTERRUPTED

    def _watch_of(self, run: "RunStore") -> "TuningJobWatch":
        """The watch of a run: a new one begins what has not ended anew."""
        from cloudtune_sagemaker.managed import TuningJobWatch  # noqa: PLC0415

        if run.id not in self._watches:
            job, name = _job(run), run.record().native["job"]
            watch = TuningJobWatch(self._aws, run, job, _plan(run), codec_of(job), name)
            self._watches[run.id] = watch, 0.0
        return self._watches[run.id][0]

    def refresh(self, run: "RunStore") -> None:
        record = run.record()
        if json.loads(record.plan)["mode"] == "driven":
            driving.refresh(run)
            return
        if record.state.ended or "job" not in record.native:
            return
        if run.id in self._watches and time.monotonic() - self._watches[run.id][1] < min(_GLANCE, self._settings.poll):
            return
        try:
            with run.driving():
                watch = self._watch_of(run)
                watch.look()
                self._watches[run.id] = watch, time.monotonic()
        except RunBusy:
            return  # whoever follows it keeps the store up to date

    def cancel(self, run: "RunStore") -> None:
        if _plan(run).mode == "driven":
            driving.cancel(run, self)
            return
        run.write(columns={"wish": "cancel"})
        if "job" not in run.record().native:
            driving.end_cancelled(run)
            return
        from cloudtune_sagemaker.managed import stop_tuning_job  # noqa: PLC0415

        stop_tuning_job(self._aws, run.record().native["job"])

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        from cloudtune_sagemaker.cloudwatch import lines_of  # noqa: PLC0415
        from cloudtune_sagemaker.keepsakes import kept_log  # noqa: PLC0415

        trial = _trial(run, number)
        kept = kept_log(run, trial)
        if kept is not None:
            return kept

        def over() -> bool:
            if not follow:
                return True
            self.refresh(run)
            now = run.trial(number)
            return now is None or now.state.ended

        return lines_of(self._aws, trial.place, over, min(self._settings.poll, _GLANCE))

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        from cloudtune_sagemaker.artifacts import download  # noqa: PLC0415
        from cloudtune_sagemaker.keepsakes import kept_files  # noqa: PLC0415

        trial = _trial(run, number)
        kept = kept_files(run, trial, target)
        return download(self._aws, trial.place, target) if kept is None else kept

    def find(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        from cloudtune_sagemaker.finding import find  # noqa: PLC0415

        return find(self._aws, name), {"job": name}

    # What driving needs (see `driving.Site`)

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        from cloudtune_sagemaker.launching import final_request  # noqa: PLC0415
        from cloudtune_sagemaker.names import run_name  # noqa: PLC0415
        from cloudtune_sagemaker.training_jobs import TrainingJobLauncher  # noqa: PLC0415

        return TrainingJobLauncher(
            self._aws,
            job,
            run_name(job.name, run.id),
            final_request(self._aws, run, job, _plan(run)),
            lambda trial: hyperparameters_of(job, trial),
            interval=self._settings.poll,
            since=run.record().created,
        )

    def abandon(self, run: "RunStore") -> None:
        from cloudtune_sagemaker.training_jobs import stop_training_job  # noqa: PLC0415

        for trial in run.trials(TrialState.RUNNING):
            stop_training_job(self._aws, trial.place)

    def settle(self, run: "RunStore") -> None:
        from cloudtune_sagemaker import keepsakes  # noqa: PLC0415

        forget_environment(run)
        if keepsakes.passing(self._settings.endpoint):
            keepsakes.keep(self._aws, run)


def _job(run: "RunStore") -> TuningJob:
    return TuningJob.from_data(json.loads(run.record().job))


def _plan(run: "RunStore") -> Plan:
    return Plan.from_data(json.loads(run.record().plan))


def _trial(run: "RunStore", number: int) -> Trial:
    trial = run.trial(number)
    if trial is None:
        raise TrialError(f"run {run.id} has no trial {number}; `cloudtune trials {run.id}` lists them")
    if not trial.place:
        raise TrialError(f"trial {number} has not started yet")
    return trial
