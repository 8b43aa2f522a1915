"""The Azure Machine Learning provider: plans, starts, follows and ends runs there, by its own sweeps or driven by cloudtune's driver."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.planning.plan import Plan
from cloudtune.provider.cloud import CloudProvider
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune_azureml.capabilities import SUPPORT
from cloudtune_azureml.settings import AzureMlSettings
from cloudtune_azureml.space import PROVIDER, codec_of
from cloudtune_azureml.translate import translate
from cloudtune_azureml.words import AzureMlWords
from cloudtune_azureml.workload import VARIABLES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cloudtune.driver.outputs import RunBrief
    from cloudtune.provider.answers import Listener
    from cloudtune.provider.permissions import Mode
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.store.store import RunStore
    from cloudtune_azureml.client import Azure
    from cloudtune_azureml.jobs import AzureMlRunner
    from cloudtune_azureml.tuner import AzureMlTuner


class AzureMlProvider(CloudProvider):
    """Runs jobs as sweep jobs of Azure Machine Learning, or drives them with a command job a trial."""

    name = PROVIDER
    service = "Azure Machine Learning"
    sdk = ("azure.ai.ml", "azure.identity", "tenacity")
    summary = "Azure Machine Learning: its sweeps, or cloudtune's driver with a command job a trial"
    settings_type = AzureMlSettings
    _settings: AzureMlSettings
    support = SUPPORT
    words = AzureMlWords()
    variables = VARIABLES
    native_format = "yaml"

    @cached_property
    def _azure(self) -> "Azure":
        from cloudtune_azureml.client import Azure  # noqa: PLC0415  # loaded when the service is needed

        return Azure(self._settings)

    @property
    def address(self) -> str | None:
        return "https://management.azure.com"

    # Before a run

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self._settings)

    def codec(self, job: TuningJob) -> "SpaceCodec":
        return codec_of(job)

    def to_step(self, job: TuningJob, request: Any) -> dict[str, Any]:
        from cloudtune_azureml.step import pipeline_with  # noqa: PLC0415  # few jobs are steps

        return pipeline_with(request, re.sub(r"\W", "_", job.name))

    @classmethod
    def from_native(cls, data: Any, folder: Path | None = None) -> TuningJob:
        from cloudtune_azureml.parse import parse  # noqa: PLC0415

        return parse(data, folder)

    @classmethod
    def with_legal_names(cls, data: Any, folder: Path | None = None) -> tuple[Any, Mapping[str, str]]:
        from cloudtune_azureml.parse import with_legal_names  # noqa: PLC0415

        return with_legal_names(data, folder)

    @classmethod
    def recognises(cls, data: Mapping[str, object]) -> bool:
        from cloudtune_azureml.files import has_sweep  # noqa: PLC0415

        return has_sweep(data)

    def log_in(self) -> None:
        self._azure.log_in()

    def findings(self) -> list[Finding]:
        from cloudtune_azureml.check import findings  # noqa: PLC0415

        return findings(self._settings)

    def policy(self, mode: "Mode | None" = None) -> dict[str, Any]:
        from cloudtune_azureml.policy import policies  # noqa: PLC0415

        return policies(self._settings, mode, self.inputs)

    def listening(self, listener: "Listener") -> "AbstractContextManager[None]":
        from cloudtune_azureml.answers import listening  # noqa: PLC0415

        return listening(listener)

    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        from cloudtune_azureml.tuner import find  # noqa: PLC0415

        return find(self._azure, name), {"job": name}

    # A run

    def request(self, run: "RunStore", job: TuningJob, plan: Plan, folder: Path | None = None) -> dict[str, Any]:
        from cloudtune_azureml.storage import final_request, with_code_in  # noqa: PLC0415

        request = final_request(run, job, plan)
        return request if folder is None else with_code_in(folder, f"{job.name}-code", request, run.folder)

    def tuner(self, brief: "RunBrief") -> "AzureMlTuner":
        from cloudtune_azureml.tuner import AzureMlTuner  # noqa: PLC0415

        return AzureMlTuner(self._azure, brief)

    def runner(self, brief: "RunBrief") -> "AzureMlRunner":
        from cloudtune_azureml.jobs import AzureMlRunner  # noqa: PLC0415

        return AzureMlRunner(self._azure, brief)
