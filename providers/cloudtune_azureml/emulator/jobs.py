"""Sweep jobs and command jobs of the workspace: made, told, cancelled and deleted."""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.launcher import Ended as TrialEnded
from cloudtune.driver.loop import Driver
from cloudtune.emulation.launcher import Closed, ThreadedLauncher
from cloudtune.results.objectives import best_trial
from cloudtune.store.records import Report, RunRecord, RunState, Trial
from cloudtune.store.store import Store
from cloudtune_azureml.emulator.faults import Faults
from cloudtune_azureml.emulator.model import Program, Sweep
from cloudtune_azureml.emulator.records import TERMINAL, Metric, Run, Runs
from cloudtune_azureml.emulator.searching import Search
from cloudtune_azureml.emulator.worker import Ended, Worker, Workshop

_log = logging.getLogger(__name__)

Data = Mapping[str, Any]

_AT_START = {"capacity": "Insufficient capacity: no nodes are to be had.", "internal": "InternalServerError"}
"""The errors of jobs that do not start."""


class CommandJob:
    """One command job, or one trial of a sweep.

    Args:
        program: the job's.
        run: which tells its states.
        workshop: what it runs with.
        values: of a trial's parameters.
        on_end: called at its end.
    """

    def __init__(
        self,
        program: Program,
        run: Run,
        workshop: Workshop,
        faults: Faults,
        *,
        values: Data | None = None,
        on_end: Callable[["CommandJob"], None] | None = None,
    ) -> None:
        self.run, self._faults, self._on_end, self._size = run, faults, on_end, program.size
        self._worker = Worker(
            program,
            run.name,
            run.experiment,
            values or {},
            workshop,
            on_running=lambda: self._move("Running", started=time.time()),
            on_line=run.lines.append,
            on_end=self._ended,
        )
        run.outputs = self._worker.outputs()

    def start(self) -> None:
        """Run it; return at once."""
        fault = self._faults.at_start(self.run.name, self._size)
        if fault:
            self._ended(Ended("Failed", _AT_START[fault]))
        else:
            self._move("Preparing")
            self._worker.start()

    def cancel(self) -> None:
        """End it early; nothing if it has ended."""
        if self.run.status().state not in TERMINAL:
            self._move("CancelRequested")
            self._worker.stop()

    def close(self) -> None:
        """End its processes at once, and report nothing any more."""
        self._worker.close()

    def _move(self, state: str, **changes: Any) -> None:
        if self.run.status().state == "CancelRequested" and state != "Canceled":
            state = "CancelRequested"
        self.run.change(state=state, **changes)

    def _ended(self, ended: Ended) -> None:
        self.run.change(state=ended.state, error=ended.failure, ended=time.time())
        if self._on_end is not None:
            self._on_end(self)


class SweepJob(ThreadedLauncher):
    """One sweep job, which launches its own trials.

    Args:
        sweep: what it searches; it keeps the service's rules.
        program: of its trials.
        run: which tells its states.
        runs: takes the trials.
        workshop: what they run with.
        faults: what goes wrong on purpose.
        folder: for its own store.
    """

    def __init__(
        self, sweep: Sweep, program: Program, run: Run, runs: Runs, workshop: Workshop, faults: Faults, folder: Path
    ) -> None:
        super().__init__()
        self._sweep, self._program, self.run = sweep, program, run
        self.trials: list[CommandJob] = []
        self._runs, self._shop, self._faults, self._folder = runs, workshop, faults, folder
        self._search = Search(sweep)
        self._interrupt = Interrupt()
        self._stopped: set[int] = set()
        self._thread = threading.Thread(target=self._tune, name=f"sweep {run.name}", daemon=True)

    def start(self) -> None:
        """Tune; return at once."""
        self._thread.start()

    def cancel(self) -> None:
        """End it and its trials early; nothing if it has ended."""
        if self.run.status().state not in TERMINAL:
            self.run.change(state="CancelRequested")
            self.run.tag({"_aml_system_cancellation_requested": "true"})
            self._interrupt.level = 2
            self.wake()

    def close(self) -> None:
        """End its trials' processes."""
        for trial in list(self.trials):
            trial.close()

    def shut(self) -> None:
        """End it at once, and report nothing any more."""
        self.abandon()
        self._thread.join()
        self.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most so many seconds."""
        self._thread.join(timeout)

    # What the driver asks for

    def begin(self, trial: Trial) -> None:
        name, values = f"{self.run.name}_{trial.number}", self._search.told(trial.parameters)
        run = Run(
            name,
            self.run.experiment,
            "command",
            parent=self.run.name,
            tags={"hyperparameters": json.dumps(values), "mlflow.parentRunId": self.run.name},
            on_metric=lambda metric: self._measured(trial.number, metric),
        )
        run.param({key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()})
        job = CommandJob(
            self._program,
            self._runs.add(run),
            self._shop,
            self._faults,
            values=values,
            on_end=lambda job: self._ended(trial.number, job),
        )
        self.trials.append(job)
        self.run.tag({"_aml_system_samples_generated_count": str(len(self.trials))})
        job.start()

    def stop(self, number: int) -> None:
        self._stopped.add(number)
        self.trials[number].run.tag({"cloudtune.early_terminated": "true"})
        self.trials[number].cancel()

    def _measured(self, number: int, metric: Metric) -> None:
        """A value of the primary metric is an interval of the policy: one log, one step."""
        if metric.key != self._sweep.metric:
            return
        count = sum(each.key == metric.key for each in self.trials[number].run.status().metrics)
        self.tell(Report(number, 1, count, metric.timestamp / 1000, {metric.key: metric.value}))

    def _ended(self, number: int, job: CommandJob) -> None:
        status = job.run.status()
        failure = status.error if status.state == "Failed" else ""
        self.tell(TrialEnded(number, 1, failure=failure))

    # The thread

    def _tune(self) -> None:
        try:
            outcome, best = self._drive()
        except Closed:
            return
        except Exception as error:  # noqa: BLE001  # a job must end for those who wait, whatever went wrong
            _log.exception("the sweep %s failed", self.run.name)
            self.run.change(state="Failed", error=f"{type(error).__name__}: {error}", ended=time.time())
        else:
            self._conclude(outcome, best)

    def _drive(self) -> tuple[RunState, Trial | None]:
        with closing(Store(self._folder)) as store:
            record = RunRecord("sweep", "sweep", "azureml", "", "{}", "{}", created=self.run.created)
            run = store.create(record)
            seed = getattr(self._search.job.strategy, "seed", None)
            seed = secrets.randbelow(2**31) if seed is None else seed
            outcome = Driver(self._search.job, run, self, seed=seed, interrupt=self._interrupt).run()
            return outcome, best_trial(self._search.job.objective, (), run.trials())

    def _conclude(self, outcome: RunState, best: Trial | None) -> None:
        self.run.tag({"_aml_system_all_jobs_generated": "true"})
        if best is not None:
            score = next(iter(best.metrics.values()), 0.0)
            own = {"best_child_run_id": self.trials[best.number].run.name, "score": str(score)}
            self.run.change(properties={**self.run.status().properties, **own})
        if self.run.status().state == "CancelRequested" or outcome is RunState.INTERRUPTED:
            self.run.change(state="Canceled", ended=time.time())
        elif outcome is RunState.FAILED:
            reason = self.trials[-1].run.status().error if self.trials else ""
            self.run.change(state="Failed", error=f"All trials failed. The last one: {reason}", ended=time.time())
        else:
            self.run.change(state="Completed", ended=time.time())
