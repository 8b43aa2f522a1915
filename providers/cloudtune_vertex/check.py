"""What a run on Vertex AI needs, and whether it is there."""

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.provider.interface import Finding
from cloudtune_vertex.client import Google, translated
from cloudtune_vertex.settings import VertexSettings

_NO_STUDY = "cloudtune-check"
"""The name of a study that is asked for, and is usually not there: also that answer says that it may be asked for."""


def findings(settings: VertexSettings) -> list[Finding]:
    """Look at project, credentials, the permission to tune, bucket, image, logs, and Vizier."""
    google = Google(settings)
    found = [Finding.tried("project", lambda: f"{google.project}, {settings.location}")]
    if settings.endpoint:
        found.append(Finding("endpoint", None, f"{settings.endpoint}, not Google itself"))
    if not found[0].ok:
        return found
    return [
        *found,
        Finding.tried("tuning jobs", lambda: _may_tune(google)),
        Finding.tried("bucket", lambda: _bucket(google)),
        _image(settings.image),
        _account(settings.service_account),
        Finding.tried("logs", lambda: _logs(google)),
        _vizier(google),
    ]


def _may_tune(google: Google) -> str:
    pages = google.call(
        "listing tuning jobs", google.jobs.list_hyperparameter_tuning_jobs, parent=google.parent, page_size=1
    )
    next(iter(pages), None)
    return "may be listed"


def _vizier(google: Google) -> Finding:
    """Say whether Vizier may be asked, which only a job whose strategy is vizier needs."""
    try:
        google.call(
            "looking for a study of Vizier", google.vizier.lookup_study, parent=google.parent, display_name=_NO_STUDY
        )
    except ProviderError as error:
        if error.code != "NotFound":
            return Finding("vizier", None, f"only for strategy: {{type: vizier}}, and may not be asked: {error}")
    return Finding("vizier", ok=True, message="may be asked for its studies")


def _bucket(google: Google) -> str:
    name = google.settings.bucket or f"{google.project}-vertex-staging-{google.settings.location}"
    with translated(f"looking at gs://{name}"):
        if google.storage.lookup_bucket(name) is None:
            if google.settings.bucket:
                raise ConfigError(f"there is no bucket gs://{name}; make it, or name another one in the profile")
            return f"gs://{name}, which the first run makes"
    return f"gs://{name}"


def _image(image: str | None) -> Finding:
    if not image:
        message = 'none in the profile; each job needs trial.image, or write image = "…" in the profile'
        return Finding("image", None, message)
    return Finding("image", None, f"{image}; whether it is there is seen when a trial starts")


def _account(account: str | None) -> Finding:
    if not account:
        return Finding("service account", None, "Vertex AI's own, which may read and write the project's buckets")
    return Finding("service account", None, f"{account}; the user who starts jobs needs the permission to act as it")


def _logs(google: Google) -> str:
    with translated("reading Cloud Logging"):
        entries = google.logging.list_entries(filter_='resource.type="ml_job"', page_size=1)  # type: ignore[no-untyped-call]
        next(iter(entries), None)
    return "may be read"
