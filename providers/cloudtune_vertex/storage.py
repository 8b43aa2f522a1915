"""Files on their way to Cloud Storage and back: code and data that a request names, and what trials leave."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions
from google.cloud.storage.retry import DEFAULT_RETRY

from cloudtune.bundle.upload import filled, staged
from cloudtune.driver.outputs import place_below
from cloudtune.errors import TrialError
from cloudtune.planning.translation import with_environment
from cloudtune.store.secrets import kept_environment
from cloudtune_vertex.client import Google, translated
from cloudtune_vertex.names import RUN_LABEL, machines_name, run_name
from cloudtune_vertex.space import PROVIDER
from cloudtune_vertex.workload import VARIABLES

if TYPE_CHECKING:
    from cloudtune.bundle.shipment import Upload
    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

RETRY = DEFAULT_RETRY.with_delay(initial=0.5, maximum=20.0)
"""Cloud Storage's own rule of what to try again: some of its errors are no others' (`InvalidResponse`)."""


def final_request(google: Google, run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """Return the plan's request with what only the start knows, after code and data have been uploaded.

    Raises:
        ProviderError: Google refused, or cannot be reached.
    """
    name = run_name(job.name, run.id)
    request = staged(
        filled(plan.request, {"run": name, "machines": machines_name(run.id)}.get),
        run,
        job,
        provider=PROVIDER,
        bucket=google.bucket,
        upload=lambda place, files: upload(google, place, files),
    )
    request["labels"] = {**request.get("labels", {}), RUN_LABEL: name}
    return with_environment(request, kept_environment(run), VARIABLES) if job.trial.environment else request


def split(place: str) -> tuple[str, str]:
    """Return bucket and name of a place, ``gs://bucket/name``."""
    bucket, _, name = place.removeprefix("gs://").partition("/")
    return bucket, name


def upload(google: Google, place: str, files: "Sequence[Upload]") -> None:
    """Upload what is not there yet below a place: the names tell the content."""
    bucket, folder = split(place)
    for file in files:
        with translated(f"uploading to gs://{bucket}"):
            blob = google.storage.bucket(bucket).blob(f"{folder.rstrip('/')}/{file.key}")
            try:
                blob.upload_from_filename(str(file.source), if_generation_match=0, retry=RETRY)
            except exceptions.PreconditionFailed:
                continue  # it is there
            except exceptions.Forbidden:
                if not blob.exists():  # else it is there, and who may make objects may not overwrite them
                    raise


def download_outputs(google: Google, place: str, target: Path) -> list[Path]:
    """Download a trial's model (``AIP_MODEL_DIR``); everything in its folder where it left none.

    Raises:
        TrialError: it left nothing, or something whose name leads outside of the folder.
    """
    files = download(google, f"{place.rstrip('/')}/model", target) or download(google, place, target)
    if not files:
        raise TrialError(f"there are no files in {place}")
    return files


def download(google: Google, place: str, target: Path) -> list[Path]:
    """Download all objects below a place.

    Args:
        google: the clients.
        place: ``gs://bucket/folder``.
        target: a folder; made if it is not there.

    Returns:
        The files, below the target; none if there are none.

    Raises:
        TrialError: the name of one leads outside of the folder.
    """
    bucket, folder = split(place)
    prefix = f"{folder.rstrip('/')}/"
    files = []
    with translated(f"downloading from {place}"):
        for blob in google.storage.list_blobs(bucket, prefix=prefix, retry=RETRY):
            if blob.name.endswith("/"):
                continue  # stands for a folder
            path = place_below(target, blob.name.removeprefix(prefix))
            path.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(str(path), retry=RETRY)
            files.append(path)
    return files


def read_if_changed(google: Google, place: str, generation: int | None) -> tuple[int, str] | None:
    """Return the content of an object and its generation; None if it is not there or still of the given generation."""
    bucket, name = split(place)
    blob = google.storage.bucket(bucket).blob(name)
    with translated(f"reading {place}"):
        try:
            content = blob.download_as_bytes(if_generation_not_match=generation, retry=RETRY)
        except (exceptions.NotFound, exceptions.NotModified):
            return None
    return int(blob.generation or 0), content.decode("utf-8", "replace")
