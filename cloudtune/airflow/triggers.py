"""The trigger that waits for the end of a run in Airflow's triggerer, without a worker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from cloudtune import api
from cloudtune.errors import ProviderError
from cloudtune.store.records import RunState


def seen(run_id: str, project: str) -> RunState:
    """Return the state of a run, asked of its service where that keeps it; as it was last seen where it cannot be reached."""
    run = api.attach(run_id, project=Path(project))
    try:
        return run.refresh()
    except ProviderError as error:
        if not error.retryable:
            raise
        return run.state


class RunTrigger(BaseTrigger):  # type: ignore[misc]  # airflow has an environment of its own
    """Fires once a run has ended or was interrupted.

    Args:
        run_id: of the run.
        project: the folder of its store, which the triggerer must reach.
        poll_interval: seconds between two looks.
    """

    def __init__(self, run_id: str, project: str, poll_interval: float = 30.0) -> None:
        super().__init__()
        self.run_id, self.project, self.poll_interval = run_id, project, poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow makes the trigger anew by."""
        arguments = {"run_id": self.run_id, "project": self.project, "poll_interval": self.poll_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the run's id and state."""
        while True:
            state = await asyncio.to_thread(seen, self.run_id, self.project)
            if state.ended or state is RunState.INTERRUPTED:
                yield TriggerEvent({"run": self.run_id, "state": state.value})
                return
            await asyncio.sleep(self.poll_interval)
