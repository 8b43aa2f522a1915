"""The Vertex AI provider: plans, starts, follows and ends runs there, by its own tuner or driven by cloudtune's."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import TrialError
from cloudtune.planning.plan import Plan
from cloudtune.provider.cloud import CloudProvider, plan_of
from cloudtune.provider.interface import Finding
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.capabilities import SUPPORT
from cloudtune_vertex.names import id_of, run_name
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.space import PROVIDER, codec_of
from cloudtune_vertex.translate import arguments_of, native_request, translate

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.driver.process import Condition
    from cloudtune.provider.managed import ManagedWatch
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.store.records import Trial
    from cloudtune.store.store import RunStore
    from cloudtune_vertex.client import Google


class VertexProvider(CloudProvider):
    """Runs jobs as hyperparameter tuning jobs of Google Vertex AI, or drives them with a custom job a trial."""

    name = PROVIDER
    service = "Vertex AI"
    sdk = ("google.cloud.aiplatform_v1", "google.cloud.storage")
    summary = "Google Vertex AI: its tuner, or cloudtune's with a custom job a trial"
    support = SUPPORT

    def __init__(self, settings: Mapping[str, Any], mounts: Mapping[str, Path] | None = None) -> None:
        super().__init__(settings, mounts)
        self._settings = VertexSettings.of(settings, PROVIDER)

    @cached_property
    def _google(self) -> "Google":
        from cloudtune_vertex.client import Google  # noqa: PLC0415  # loaded when the service is needed

        return Google(self._settings)

    @property
    def poll(self) -> float:
        return self._settings.poll

    @property
    def endpoint(self) -> str | None:
        return self._settings.endpoint

    @property
    def address(self) -> str | None:
        return f"https://{self._settings.location}-aiplatform.googleapis.com"

    # Before a run

    def plan(self, job: TuningJob) -> Plan:
        return translate(job, self._settings)

    def codec(self, job: TuningJob) -> "SpaceCodec":
        return codec_of(job)

    def to_native(self, job: TuningJob) -> dict[str, Any]:
        return native_request(job, self._settings)

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

    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        from cloudtune_vertex.finding import find  # noqa: PLC0415

        job, full = find(self._google, name)
        return job, {"job": full}

    # A run

    def create(self, run: "RunStore", job: TuningJob, plan: Plan) -> str:
        from cloudtune_vertex.launching import create_tuning_job  # noqa: PLC0415

        return create_tuning_job(self._google, run, job, plan)

    def watch(self, run: "RunStore", job: TuningJob, plan: Plan) -> "ManagedWatch":
        from cloudtune_vertex.tuner import TuningJobWatch  # noqa: PLC0415

        return TuningJobWatch(self._google, run, job, plan, codec_of(job), run.record().native["job"])

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        from cloudtune_vertex.jobs import CustomJobLauncher  # noqa: PLC0415
        from cloudtune_vertex.launching import final_request  # noqa: PLC0415

        self.reach(run)
        launcher = CustomJobLauncher(
            self._google,
            job,
            run_name(job.name, run.id),
            final_request(self._google, run, job, plan_of(run)),
            lambda trial: arguments_of(job, trial),
            interval=self.poll,
        )
        launcher.lines = lambda trial: self.lines(run, trial, lambda: True)
        return launcher

    def final(self, run: "RunStore", job: TuningJob, plan: Plan, folder: Path) -> dict[str, Any]:  # noqa: ARG002  # all is uploaded
        from cloudtune_vertex.launching import final_request  # noqa: PLC0415

        return final_request(self._google, run, job, plan)

    def stop_trial(self, place: str) -> None:
        from cloudtune_vertex.jobs import cancel_custom_job  # noqa: PLC0415

        found = self._custom_job(place)
        if found is not None:
            cancel_custom_job(self._google, found.name)

    def _custom_job(self, place: str) -> Any:  # CustomJob, or None
        """The custom job of a driven run's trial."""
        from cloudtune_vertex.client import translated  # noqa: PLC0415
        from cloudtune_vertex.jobs import labels_of  # noqa: PLC0415
        from cloudtune_vertex.launching import find_custom_job  # noqa: PLC0415

        with translated("looking for a trial"):
            return find_custom_job(self._google, labels_of(place))

    def lines(self, run: "RunStore", trial: "Trial", over: "Condition") -> Iterator[str]:
        from cloudtune_vertex.logs import lines_of, of_custom_job  # noqa: PLC0415

        record = run.record()

        def condition() -> str:
            if "job" in record.native:
                own = id_of(trial.place) if "/customJobs/" in trial.place else ""
                return of_custom_job(own, tuning_job=id_of(record.native["job"]), trial=str(trial.number + 1))
            found = self._custom_job(trial.place)  # the store knows of a trial before its job is made
            return "" if found is None else of_custom_job(id_of(found.name))

        return lines_of(self._google, condition, record.created, over, min(self.poll, 1.0))

    def download(self, run: "RunStore", trial: "Trial", target: Path) -> list[Path]:
        from cloudtune_vertex.storage import download_outputs  # noqa: PLC0415

        if "job" in run.record().native:
            job = self._google.call(
                "looking at the tuning job",
                self._google.jobs.get_hyperparameter_tuning_job,
                name=run.record().native["job"],
            )
            root = job.trial_job_spec.base_output_directory.output_uri_prefix
            place = f"{root.rstrip('/')}/{trial.number + 1}" if root else ""
        else:
            found = self._custom_job(trial.place)
            place = "" if found is None else found.job_spec.base_output_directory.output_uri_prefix
        if not place:
            raise TrialError(f"trial {trial.number} has no folder in Cloud Storage")
        return download_outputs(self._google, place, target)
