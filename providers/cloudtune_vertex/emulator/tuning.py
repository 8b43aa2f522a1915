"""One tuning job: cloudtune's driver, which launches custom jobs, and what the service tells of both."""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.launcher import Ended
from cloudtune.driver.loop import Driver
from cloudtune.emulation.launcher import Closed, ThreadedLauncher
from cloudtune.emulation.timeline import Timeline
from cloudtune.results.objectives import losses
from cloudtune.results.progress import keep_counting_values
from cloudtune.store.records import Report, RunRecord, RunState, Trial
from cloudtune.store.store import Store
from cloudtune_vertex.emulator.custom_jobs import TERMINAL, CustomJob, JobStatus
from cloudtune_vertex.emulator.hypertune import Measurement
from cloudtune_vertex.emulator.model import duration_text, stamp
from cloudtune_vertex.emulator.searching import Search

_CANCELLED = 1
"""The code of google.rpc of a cancelled job."""

_FAILED = 3

_TEXTS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """What the service reports of a trial at one moment; times are seconds since 1970.

    Attributes:
        state: of the service's enum Trial.State.
        started: when its programs began; None before.
        ended: None before.
        measurements: all so far.
        reason: why it is infeasible; "" if it is not.
    """

    state: str = "REQUESTED"
    started: float | None = None
    ended: float | None = None
    measurements: tuple[Measurement, ...] = ()
    reason: str = ""


class TunedTrial:
    """A trial of a tuning job.

    Args:
        number: from 0.
        parameters: as the service tells them.
        job: the custom job that it is.
    """

    def __init__(self, number: int, parameters: list[dict[str, Any]], job: CustomJob) -> None:
        self.number, self.parameters, self.job = number, parameters, job
        self._timeline = Timeline(TrialStatus())
        self._lock = threading.Lock()

    def status(self, lag: float = 0.0) -> TrialStatus:
        """Return its state so many seconds ago."""
        return self._timeline.at(lag)

    def change(self, **changes: Any) -> TrialStatus:  # fields of TrialStatus
        """Go over to another state."""
        with self._lock:
            self._timeline.put(replace(self._timeline.now, **changes))
            return self._timeline.now

    def message(self, search: Search, lag: float) -> dict[str, Any]:
        """Return the Trial in JSON."""
        status = self.status(lag)
        found: dict[str, Any] = {
            "id": str(self.number + 1),
            "state": status.state,
            "parameters": self.parameters,
            "customJob": self.job.name,
            "measurements": [_measurement(each) for each in status.measurements],
        }
        if status.started is not None:
            found["startTime"] = stamp(status.started)
        if status.ended is not None:
            found["endTime"] = stamp(status.ended)
        if status.reason:
            found["infeasibleReason"] = status.reason
        if status.state == "SUCCEEDED":
            found["finalMeasurement"] = _measurement(self.final(search))
        return found

    def final(self, search: Search) -> Measurement:
        """Return the measurement that counts: the last values, or the best (StudySpec.measurement_selection_type)."""
        measurements = self._timeline.now.measurements
        counting: dict[str, float] = {}
        for each in measurements:
            keep_counting_values(search.job.objective, counting, each.metrics)
        last = measurements[-1]
        return Measurement(last.step, last.elapsed, counting)


def _measurement(measurement: Measurement) -> dict[str, Any]:
    # JSON has no numbers for nan and infinities: a message has texts for them.
    values = {
        name: value if math.isfinite(value) else _TEXTS[str(value)] for name, value in measurement.metrics.items()
    }
    metrics = [{"metricId": name, "value": value} for name, value in values.items()]
    elapsed = duration_text(round(measurement.elapsed, 6))
    return {"stepCount": measurement.step, "elapsedDuration": elapsed, "metrics": metrics}


class TuningJob(ThreadedLauncher):
    """One tuning job, which launches its own trials.

    Args:
        request: the message in its normal form, which is valid.
        name: ``projects/P/locations/L/hyperparameterTuningJobs/ID``.
        search: what it searches.
        folder: for its own store.
        seed: of the search; None for any.
        create: makes the custom job of a trial, by its number and its arguments; it is not started yet.
    """

    kind = "HyperparameterTuningJob"
    listed = True

    def __init__(
        self,
        request: Mapping[str, Any],
        name: str,
        *,
        search: Search,
        folder: Path,
        seed: int | None,
        create: Callable[["TuningJob", int, Mapping[str, str | float]], CustomJob],
    ) -> None:
        super().__init__()
        self.request = dict(request)
        self.name = name
        self.created = time.time()
        self.trials: list[TunedTrial] = []
        self._search, self._folder, self._create = search, folder, create
        self._seed = secrets.randbelow(2**31) if seed is None else seed
        self._interrupt = Interrupt()
        self._stopped: set[int] = set()
        self._numbers: dict[str, int] = {}
        self._lock = threading.RLock()
        self._timeline = Timeline(JobStatus("JOB_STATE_PENDING", self.created))
        self._thread = threading.Thread(target=self._run, name=f"tuning {name}", daemon=True)

    # What others ask of it

    def start(self) -> None:
        """Tune; return at once."""
        self._thread.start()

    def cancel(self) -> None:
        """End it and its trials early; nothing if it has ended."""
        with self._lock:
            if self.status().state in TERMINAL:
                return
            self._put(state="JOB_STATE_CANCELLING")
        self._interrupt.level = 2
        self.wake()

    def close(self) -> None:
        """Make its thread leave, and end its trials' processes; may be called by the driver or by the emulator."""
        for trial in list(self.trials):
            trial.job.close()

    def shut(self) -> None:
        """End it at once, and report nothing any more."""
        self.abandon()
        self.join()
        self.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # What the service reports of it

    def status(self, lag: float = 0.0) -> JobStatus:
        """Return its state so many seconds ago."""
        return self._timeline.at(lag)

    def message(self, lag: float = 0.0) -> dict[str, Any]:
        """Return the resource in JSON, with its trials."""
        trials = [trial.message(self._search, lag) for trial in list(self.trials)]
        own = {"name": self.name, "createTime": stamp(self.created), "trials": trials}
        return {**self.request, **own, **self.status(lag).fields()}

    def _put(self, **changes: Any) -> None:  # fields of JobStatus
        with self._lock:
            self._timeline.put(replace(self._timeline.now, updated=time.time(), **changes))

    # What the driver asks for

    def begin(self, trial: Trial) -> None:
        job = self._create(self, trial.number, self._search.arguments(trial.parameters))
        with self._lock:
            self.trials.append(TunedTrial(trial.number, self._search.told(trial.parameters), job))
            self._numbers[job.name] = trial.number
            if self.status().state == "JOB_STATE_PENDING":
                self._put(state="JOB_STATE_RUNNING", started=time.time())
        job.start()

    def stop(self, number: int) -> None:
        trial = self.trials[number]
        if trial.status().ended is None:
            self._stopped.add(number)
            trial.change(state="STOPPING")
            trial.job.cancel()

    # What the custom jobs tell, in their workers' threads

    def running(self, job: CustomJob) -> None:
        """Note it; see `Follower`."""
        trial = self.trials[self._numbers[job.name]]
        if trial.status().state == "REQUESTED":
            trial.change(state="ACTIVE", started=time.time())

    def measured(self, job: CustomJob, measurement: Measurement) -> None:
        """Note it; see `Follower`."""
        trial = self.trials[self._numbers[job.name]]
        trial.change(measurements=(*trial.status().measurements, measurement))
        at = (trial.status().started or time.time()) + measurement.elapsed
        self.tell(Report(trial.number, 1, measurement.step, at, measurement.metrics))

    def ended(self, job: CustomJob) -> None:
        """Note it; see `Follower`."""
        trial = self.trials[self._numbers[job.name]]
        failure = self._failure(trial)
        state = "INFEASIBLE" if failure else "SUCCEEDED"
        now = time.time()
        trial.change(state=state, reason=failure, started=trial.status().started or now, ended=now)
        failed = job.status().state == "JOB_STATE_FAILED"
        self.tell(Ended(trial.number, 1, failure=failure if failed else ""))

    def _failure(self, trial: TunedTrial) -> str:
        """Return why a trial that has ended counts as infeasible; "" if it does not."""
        status = trial.job.status()
        if self._interrupt.level:
            return "The job was cancelled."
        if status.state == "JOB_STATE_FAILED" and status.error is not None:
            return status.error[1]
        measurements = trial.status().measurements
        told = losses(self._search.job.objective, trial.final(self._search).metrics) if measurements else None
        return "" if told is not None else "The trial did not report the metrics of the study."

    # The thread

    def _run(self) -> None:
        try:
            outcome = self._drive()
        except Closed:
            return
        except Exception as error:  # noqa: BLE001  # a job must end for those who wait, whatever went wrong
            _log.exception("the tuning job %s failed", self.name)
            self._end("JOB_STATE_FAILED", (13, f"Internal error occurred: {type(error).__name__}: {error}"))
        else:
            self._conclude(outcome)

    def _drive(self) -> RunState:
        with closing(Store(self._folder)) as store:
            run = store.create(RunRecord("tuning", "tuning", "vertex", "", "{}", "{}", created=self.created))
            return Driver(self._search.job, run, self, seed=self._seed, interrupt=self._interrupt).run()

    def _conclude(self, outcome: RunState) -> None:
        if self.status().state == "JOB_STATE_CANCELLING" or outcome is RunState.INTERRUPTED:
            self._end("JOB_STATE_CANCELLED", (_CANCELLED, "CANCELED"))
        elif outcome is RunState.FAILED:
            failed = sum(trial.status().state == "INFEASIBLE" for trial in self.trials)
            reason = self.trials[-1].status().reason if self.trials else ""
            message = f"Too many failed trials: {failed} of {len(self.trials)}. The last one: {reason}"
            self._end("JOB_STATE_FAILED", (_FAILED, message))
        else:
            self._end("JOB_STATE_SUCCEEDED", None)

    def _end(self, state: str, error: tuple[int, str] | None) -> None:
        self._put(state=state, ended=time.time(), error=error)
