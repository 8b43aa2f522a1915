"""From a plan to what is sent: names, code and data in Cloud Storage, secrets put in, and the call that makes the job."""

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from cloudtune.bundle.upload import filled, staged
from cloudtune.store.secrets import kept_environment
from cloudtune_vertex.client import Google
from cloudtune_vertex.names import RUN_LABEL, filter_of, run_name
from cloudtune_vertex.space import PROVIDER
from cloudtune_vertex.storage import upload
from cloudtune_vertex.translate import with_values

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import CustomJob, HyperparameterTuningJob

    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore


def final_request(google: Google, run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """The plan's request with what only the start knows, after code and data have been uploaded.

    Raises:
        ProviderError: Google refused, or cannot be reached.
    """
    name = run_name(job.name, run.id)
    request = staged(
        filled(plan.request, {"run": name}.get),
        run,
        job,
        provider=PROVIDER,
        bucket=google.bucket,
        upload=lambda place, files: upload(google, place, files),
    )
    request["labels"] = {**request.get("labels", {}), RUN_LABEL: name}
    return with_values(request, kept_environment(run)) if job.trial.environment else request


def tuning_job_message(request: dict[str, Any]) -> "HyperparameterTuningJob":
    """The message of a request; raises `json_format.ParseError` for one that the SDK does not know."""
    from google.cloud.aiplatform_v1 import HyperparameterTuningJob  # noqa: PLC0415

    message: HyperparameterTuningJob = HyperparameterTuningJob()
    json_format.ParseDict(request, message._pb)  # noqa: SLF001  # proto-plus's own way
    return message


def custom_job_message(request: dict[str, Any]) -> "CustomJob":
    """The same for a custom job."""
    from google.cloud.aiplatform_v1 import CustomJob  # noqa: PLC0415

    message: CustomJob = CustomJob()
    json_format.ParseDict(request, message._pb)  # noqa: SLF001
    return message


def create_tuning_job(google: Google, run: "RunStore", job: "TuningJob", plan: "Plan") -> str:
    """Makes the run's tuning job and returns its name; one that an earlier call made is found by its label.

    Raises:
        ProviderError: Google refused it, or cannot be reached.
    """
    message = tuning_job_message(final_request(google, run, job, plan))
    native = run.record().native
    run.write(columns={"native": {**native, "creating": "yes"}})
    created = google.create_once(
        f"making the tuning job {message.display_name}",
        lambda: google.jobs.create_hyperparameter_tuning_job(
            request={"parent": google.parent, "hyperparameter_tuning_job": message}, timeout=60.0
        ),
        lambda: find_tuning_job(google, {RUN_LABEL: message.labels[RUN_LABEL]}),
        look_first="creating" in native,
    )
    run.write(columns={"native": {**native, "job": created.name}})
    return str(created.name)


def find_tuning_job(google: Google, labels: dict[str, str]) -> "HyperparameterTuningJob | None":
    """A tuning job with these labels; None if there is none."""
    request = {"parent": google.parent, "filter": filter_of(labels), "page_size": 1}
    pages = google.patient(google.jobs.list_hyperparameter_tuning_jobs)(request=request, timeout=60.0)
    return next(iter(pages), None)


def find_custom_job(google: Google, labels: dict[str, str]) -> "CustomJob | None":
    """A custom job with these labels; None if there is none."""
    request = {"parent": google.parent, "filter": filter_of(labels), "page_size": 1}
    pages = google.patient(google.jobs.list_custom_jobs)(request=request, timeout=60.0)
    return next(iter(pages), None)
