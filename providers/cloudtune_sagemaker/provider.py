"""The SageMaker provider: plans, starts, follows and ends runs there, by its own tuner or driven by cloudtune's."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.planning.plan import Plan
from cloudtune.provider.cloud import CloudProvider
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune_sagemaker.capabilities import SUPPORT
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.space import codec_of
from cloudtune_sagemaker.translate import translate
from cloudtune_sagemaker.words import SageMakerWords
from cloudtune_sagemaker.workload import PROVIDER, VARIABLES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cloudtune.driver.outputs import RunBrief
    from cloudtune.provider.answers import Listener
    from cloudtune.provider.permissions import Mode
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.store.store import RunStore
    from cloudtune_sagemaker.client import Aws
    from cloudtune_sagemaker.jobs import SageMakerRunner
    from cloudtune_sagemaker.tuner import SageMakerTuner


class SageMakerProvider(CloudProvider):
    """Runs jobs as tuning jobs of Amazon SageMaker, or drives them with a training job a trial."""

    name = PROVIDER
    service = "SageMaker"
    sdk = ("boto3",)
    summary = "Amazon SageMaker: its tuner, or cloudtune's with a training job a trial"
    settings_type = SageMakerSettings
    _settings: SageMakerSettings
    support = SUPPORT
    words = SageMakerWords()
    variables = VARIABLES

    @cached_property
    def _aws(self) -> "Aws":
        from cloudtune_sagemaker.client import Aws  # noqa: PLC0415  # boto3 is loaded when the service is needed

        return Aws(self._settings)

    @property
    def endpoint(self) -> str | None:
        return (
            self._settings.endpoint
            or os.environ.get("AWS_ENDPOINT_URL_SAGEMAKER")
            or os.environ.get("AWS_ENDPOINT_URL")
        )

    @property
    def address(self) -> str | None:
        region = self._settings.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return None if region is None else f"https://api.sagemaker.{region}.{_suffix(region)}"

    # Before a run

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self._settings)

    def codec(self, job: TuningJob) -> "SpaceCodec":
        return codec_of(job)

    def to_step(self, job: TuningJob, request: Any) -> dict[str, Any]:
        from cloudtune_sagemaker.step import pipeline_with  # noqa: PLC0415  # few jobs are steps

        return pipeline_with(request, job.name, f"{', '.join(each.metric for each in job.objective)} by cloudtune")

    @classmethod
    def from_native(cls, data: Any, folder: Path | None = None) -> TuningJob:  # noqa: ARG003  # a request names no files
        from cloudtune_sagemaker.parse import parse  # noqa: PLC0415

        return parse(data)

    @classmethod
    def with_legal_names(cls, data: Any, folder: Path | None = None) -> tuple[Any, Mapping[str, str]]:  # noqa: ARG003  # a request names no files
        from cloudtune_sagemaker.parse import with_legal_names  # noqa: PLC0415

        return with_legal_names(data)

    @classmethod
    def recognises(cls, data: Mapping[str, object]) -> bool:
        return "HyperParameterTuningJobConfig" in data or "HyperParameterTuningJobName" in data

    def log_in(self) -> None:
        self._aws.log_in()

    def findings(self) -> list[Finding]:
        from cloudtune_sagemaker.check import findings  # noqa: PLC0415

        return findings(self._settings)

    def policy(self, mode: "Mode | None" = None) -> dict[str, Any]:
        from cloudtune_sagemaker.policy import policies  # noqa: PLC0415

        return policies(self._settings, mode, self.inputs)

    def listening(self, listener: "Listener") -> "AbstractContextManager[None]":
        from cloudtune_sagemaker.answers import listening  # noqa: PLC0415

        return listening(listener)

    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        from cloudtune_sagemaker.tuner import find  # noqa: PLC0415

        return find(self._aws, name), {"job": name}

    # A run

    def request(self, run: "RunStore", job: TuningJob, plan: Plan, folder: Path | None = None) -> dict[str, Any]:  # noqa: ARG002  # all is uploaded
        from cloudtune_sagemaker.storage import final_request  # noqa: PLC0415

        return final_request(self._aws, run, job, plan)

    def tuner(self, brief: "RunBrief") -> "SageMakerTuner":
        from cloudtune_sagemaker.tuner import SageMakerTuner  # noqa: PLC0415

        return SageMakerTuner(self._aws, brief)

    def runner(self, brief: "RunBrief") -> "SageMakerRunner":
        from cloudtune_sagemaker.jobs import SageMakerRunner  # noqa: PLC0415

        return SageMakerRunner(self._aws, brief)


def _suffix(region: str) -> str:
    """Return the domain of a region's endpoints (https://docs.aws.amazon.com/general/latest/gr/sagemaker.html)."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
