"""The Vertex AI provider: plans, starts, follows and ends runs there, by its own tuner or driven by cloudtune's."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.planning.plan import Plan
from cloudtune.provider.cloud import CloudProvider
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.capabilities import SUPPORT
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.space import PROVIDER, codec_of
from cloudtune_vertex.translate import translate
from cloudtune_vertex.words import VertexWords
from cloudtune_vertex.workload import VARIABLES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cloudtune.driver.outputs import RunBrief
    from cloudtune.provider.answers import Listener
    from cloudtune.provider.permissions import Mode
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.store.store import RunStore
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.jobs import VertexRunner
    from cloudtune_vertex.tuner import VertexTuner


class VertexProvider(CloudProvider):
    """Runs jobs as hyperparameter tuning jobs of Google Vertex AI, or drives them with a custom job a trial."""

    name = PROVIDER
    service = "Vertex AI"
    sdk = ("google.cloud.aiplatform_v1", "google.cloud.storage")
    summary = "Google Vertex AI: its tuner, or cloudtune's with a custom job a trial"
    settings_type = VertexSettings
    _settings: VertexSettings
    support = SUPPORT
    words = VertexWords()
    policy_format = "yaml"
    variables = VARIABLES

    @cached_property
    def _google(self) -> "Google":
        from cloudtune_vertex.client import Google  # noqa: PLC0415  # loaded when the service is needed

        return Google(self._settings)

    @property
    def address(self) -> str | None:
        return f"https://{self._settings.location}-aiplatform.googleapis.com"

    # Before a run

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self._settings)

    def codec(self, job: TuningJob) -> "SpaceCodec":
        return codec_of(job)

    @classmethod
    def from_native(cls, data: Any, folder: Path | None = None) -> TuningJob:  # noqa: ARG003  # a request names no files
        from cloudtune_vertex.parse import parse  # noqa: PLC0415

        return parse(data)

    @classmethod
    def with_legal_names(cls, data: Any, folder: Path | None = None) -> tuple[Any, Mapping[str, str]]:  # noqa: ARG003  # a request names no files
        from cloudtune_vertex.parse import with_legal_names  # noqa: PLC0415

        return with_legal_names(data)

    @classmethod
    def recognises(cls, data: Mapping[str, object]) -> bool:
        return "studySpec" in data or "study_spec" in data

    def log_in(self) -> None:
        self._google.log_in()

    def findings(self) -> list[Finding]:
        from cloudtune_vertex.check import findings  # noqa: PLC0415

        return findings(self._settings)

    def policy(self, mode: "Mode | None" = None) -> dict[str, Any]:
        from cloudtune_vertex.policy import policies  # noqa: PLC0415

        return policies(self._settings, mode, self.inputs)

    def listening(self, listener: "Listener") -> "AbstractContextManager[None]":
        from cloudtune_vertex.answers import listening  # noqa: PLC0415

        return listening(listener)

    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        from cloudtune_vertex.tuner import find  # noqa: PLC0415

        job, full = find(self._google, name)
        return job, {"job": full}

    # A run

    def request(self, run: "RunStore", job: TuningJob, plan: Plan, folder: Path | None = None) -> dict[str, Any]:
        from cloudtune_vertex.storage import final_request  # noqa: PLC0415

        request = final_request(self._google, run, job, plan)
        if folder is not None:  # another tool launches it, and makes no machines for it before
            request.get("jobSpec", {}).pop("persistentResourceId", None)
        return request

    def tuner(self, brief: "RunBrief") -> "VertexTuner":
        from cloudtune_vertex.tuner import VertexTuner  # noqa: PLC0415

        return VertexTuner(self._google, brief)

    def runner(self, brief: "RunBrief") -> "VertexRunner":
        from cloudtune_vertex.jobs import VertexRunner  # noqa: PLC0415

        return VertexRunner(self._google, brief)
