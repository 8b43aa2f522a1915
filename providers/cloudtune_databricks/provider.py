"""The Databricks provider: each trial is a one-time run of its Jobs API."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ConfigError, RunNotFound
from cloudtune.provider.cloud import CloudProvider, job_of, plan_of
from cloudtune_databricks.capabilities import SUPPORT
from cloudtune_databricks.request import PROVIDER
from cloudtune_databricks.settings import DatabricksSettings
from cloudtune_databricks.translate import codec_of, translate
from cloudtune_databricks.words import DatabricksWords, spelled

if TYPE_CHECKING:
    from pathlib import Path

    from cloudtune.driver.outputs import RunBrief
    from cloudtune.planning.plan import Plan
    from cloudtune.porting.adapted import Adapted
    from cloudtune.provider.interface import Finding
    from cloudtune.provider.managed_run import Tuner
    from cloudtune.provider.permissions import Mode
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore
    from cloudtune_databricks.client import Workspace
    from cloudtune_databricks.jobs import DatabricksRunner

_NO_TUNER = "Databricks has no tuner of its own: cloudtune drives the trials itself"


class DatabricksProvider(CloudProvider):
    """Runs trials as one-time runs of a workspace."""

    name = PROVIDER
    service = "Databricks"
    sdk = ("databricks.sdk",)
    summary = "Databricks: a one-time run of its Jobs API a trial"
    settings_type = DatabricksSettings
    _settings: DatabricksSettings
    support = SUPPORT
    words = DatabricksWords()

    @cached_property
    def _workspace(self) -> "Workspace":
        from cloudtune_databricks.client import Workspace  # noqa: PLC0415  # loads the SDK

        return Workspace(self._settings)

    @property
    def settings_elsewhere(self) -> Mapping[str, Any]:
        """The settings without what the user's own files say; a driver elsewhere needs a login in its environment."""
        here = {name: value for name, value in self.settings.items() if name != "config_profile"}
        return {**here, "host": self._workspace.host} if "endpoint" not in here else here

    # Before a run

    def adapt(self, job: "TuningJob") -> "Adapted":
        """Return the job with places that trials can read: machine types, images and identities are those of the workspace's cloud."""
        from cloudtune.porting.adapted import Adapted, without_region  # noqa: PLC0415
        from cloudtune.porting.change import Change  # noqa: PLC0415  # reading a run needs none of it
        from cloudtune.porting.inputs import port_data, port_output  # noqa: PLC0415
        from cloudtune.porting.tables import Tables  # noqa: PLC0415

        here, notes = without_region(job)
        change = Change(_spelled(here), DatabricksWords(), self.tables or Tables(settings=self.settings))
        port_data(change)
        port_output(change)
        return Adapted(_spelled(change.job), (*notes, *change.notes), tuple(change.missing))

    def plan(self, job: "TuningJob") -> "Plan":
        return translate(_spelled(job), self._settings)

    codec = staticmethod(codec_of)

    def log_in(self) -> None:
        self._workspace.log_in()

    def findings(self) -> "list[Finding]":
        from cloudtune_databricks.check import findings  # noqa: PLC0415

        return findings(self._workspace)

    def policy(self, mode: "Mode | None" = None) -> dict[str, Any]:  # noqa: ARG002  # all runs are driven
        from cloudtune_databricks.policy import policies  # noqa: PLC0415

        return policies(self._settings)

    def look_up(self, name: str) -> "tuple[TuningJob, Mapping[str, str]]":
        raise RunNotFound(f"there is no tuning job {name!r}: {_NO_TUNER}")

    # A run

    def request(
        self,
        run: "RunStore",
        job: "TuningJob",
        plan: "Plan",
        folder: "Path | None" = None,  # noqa: ARG002  # the workspace has what it names
    ) -> dict[str, Any]:
        from cloudtune_databricks.storage import final_request  # noqa: PLC0415

        return final_request(self._workspace, run, job, plan)

    def tuner(self, brief: "RunBrief") -> "Tuner":  # noqa: ARG002  # there is none
        raise ConfigError(_NO_TUNER)

    def runner(self, brief: "RunBrief") -> "DatabricksRunner":
        from cloudtune_databricks.jobs import DatabricksRunner  # noqa: PLC0415

        return DatabricksRunner(self._workspace, brief)

    def settle(self, run: "RunStore") -> None:
        super().settle(run)
        self._clear(run)

    def _clear(self, run: "RunStore") -> None:
        """Remove what an ended run needs no more."""
        from cloudtune.driver.listeners import gone  # noqa: PLC0415
        from cloudtune.errors import ProviderError  # noqa: PLC0415

        record = run.record()
        if gone(record) or record.started is None:
            return
        from cloudtune_databricks.storage import clear  # noqa: PLC0415

        try:
            self.reach(run)
            clear(self._workspace, run, job_of(run), plan_of(run))
        except ProviderError as error:
            run.write(events=[(None, f"{error}; what the run kept on the volume stays there")])


def _spelled(job: "TuningJob") -> "TuningJob":
    """Return a job whose places on volumes have one spelling."""
    data = {name: _of(value) for name, value in job.data.items()}
    output = None if job.output is None else _of(job.output)
    if data == job.data and output == job.output:
        return job
    return job.model_copy(update={"data": data, "output": output})


def _of(value: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(value, dict):
        return {**value, PROVIDER: spelled(value[PROVIDER])} if PROVIDER in value else value
    return spelled(value)
