"""The operator that runs a tuning job."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf

from cloudtune import api
from cloudtune.airflow.results import result_of
from cloudtune.airflow.triggers import RunTrigger
from cloudtune.errors import RunNotFound
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState

if TYPE_CHECKING:
    from cloudtune.run import Run


class TuneOperator(BaseOperator):  # type: ignore[misc]  # airflow has an environment of its own
    """Run a tuning job to its end, and return its best trial.

    One task instance has one run: a task that Airflow tries again, because its worker died, say, goes on with the run that
    it had. A run that failed or was cancelled is begun anew.

    Args:
        job: the path of the job's file, or the job as plain data, whose paths begin at the project.
        on: a profile or provider; None for the config's default one.
        project: the folder of the config and the runs, which workers and the triggerer share.
        driver: the profile of a service on which the driver runs as a small job: a worker's end then ends no driver.
        deferrable: whether the task waits in the triggerer and takes no worker; Airflow's ``operators.default_deferrable``
            where nothing is said.
        poll_interval: seconds between two looks at a deferred run.
        cancel_on_kill: whether the run ends for good when the task is killed; else it goes on.
        **kwargs: those of every operator.
    """

    template_fields: Sequence[str] = ("job", "on", "project", "driver")

    def __init__(
        self,
        *,
        job: str | Mapping[str, Any],
        project: str,
        on: str | None = None,
        driver: str | None = None,
        deferrable: bool | None = None,
        poll_interval: float = 30.0,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job, self.on, self.project, self.driver = job, on, project, driver
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.poll_interval, self.cancel_on_kill = poll_interval, cancel_on_kill
        self._run: Run | None = None

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Start the run, or go on with the one that this task instance has; wait for its end, here or in the triggerer."""
        run = self._run = self._started(context["ti"])
        self.log.info("run %s of %s", run.id, run.record.where)
        if self.deferrable and not run.state.ended:
            trigger = RunTrigger(run.id, str(run.project), self.poll_interval)
            self.defer(trigger=trigger, method_name="execute_complete")
        if not run.state.ended:
            run.wait()
        return result_of(run.id, str(run.project))

    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # Airflow's
        """Return the result of a run that the trigger saw end."""
        return result_of(event["run"], self.project)

    def on_kill(self) -> None:
        """End the run for good, if it shall not outlive the task."""
        if self._run is not None and self.cancel_on_kill:
            self._run.cancel()

    def _started(self, instance: Any) -> "Run":
        project = Path(self.project)
        job, base = self._loaded(project)
        first = _run_id(job.name, instance)
        for run_id in (first, *(f"{first}-{number}" for number in range(2, instance.try_number + 1))):
            try:
                run = api.attach(run_id, project=project)
            except RunNotFound:
                return api.submit(job, self.on, project=project, base=base, run_id=run_id, driver=self.driver)
            if not run.refresh().ended:
                return run.resume() if run.state in (RunState.INTERRUPTED, RunState.WAITING) else run
            if run.state is RunState.COMPLETED:
                return run
        return run

    def _loaded(self, project: Path) -> tuple[TuningJob, Path]:
        if isinstance(self.job, Mapping):
            return TuningJob.from_data(dict(self.job), f"the job of {self.task_id}"), project
        path = project / self.job
        return TuningJob.from_yaml(path), path.parent


def _run_id(name: str, instance: Any) -> str:
    """Return the id of the run of a task instance, the same for each try of it."""
    whose = "\n".join(map(str, (instance.dag_id, instance.run_id, instance.task_id, instance.map_index)))
    return f"{name}-{hashlib.sha256(whose.encode()).hexdigest()[:12]}"
