"""The sensor that waits for the end of a run which something else has started."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.configuration import conf

from cloudtune.airflow.results import result_of
from cloudtune.airflow.triggers import RunTrigger, seen


class RunSensor(BaseSensorOperator):  # type: ignore[misc]  # airflow has an environment of its own
    """Wait for the end of a run, and return its best trial; fail where it did not complete.

    Args:
        run_id: of the run.
        project: the folder of its store.
        deferrable: whether it waits in the triggerer; Airflow's ``operators.default_deferrable`` where nothing is said.
        **kwargs: those of every sensor, such as ``poke_interval`` and ``timeout``.
    """

    template_fields: Sequence[str] = ("run_id", "project")

    def __init__(self, *, run_id: str, project: str, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id, self.project = run_id, project
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )

    def poke(self, context: Mapping[str, Any]) -> PokeReturnValue | bool:  # noqa: ARG002  # Airflow's
        """Return whether the run has ended, with its result; an interrupted one goes on, once it is resumed."""
        if not seen(self.run_id, self.project).ended:
            return False
        return PokeReturnValue(is_done=True, xcom_value=result_of(self.run_id, self.project))

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Wait here, or in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        if not seen(self.run_id, self.project).ended:
            trigger = RunTrigger(self.run_id, self.project, self.poke_interval)
            self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self.timeout))
        return result_of(self.run_id, self.project)

    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # Airflow's
        """Return the result of the run that the trigger saw end."""
        return result_of(event["run"], self.project)
