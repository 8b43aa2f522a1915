"""Files on their way to Cloud Storage and back."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from google.api_core import exceptions
from google.cloud.storage.retry import DEFAULT_RETRY

from cloudtune.errors import TrialError
from cloudtune_vertex.client import Google, translated

if TYPE_CHECKING:
    from cloudtune.bundle.shipment import Upload


RETRY = DEFAULT_RETRY.with_delay(initial=0.5, maximum=20.0)
"""Cloud Storage's own rule of what to try again: some of its errors are no others' (`InvalidResponse`)."""


def split(place: str) -> tuple[str, str]:
    """Bucket and name of a place, ``gs://bucket/name``."""
    bucket, _, name = place.removeprefix("gs://").partition("/")
    return bucket, name


def upload(google: Google, place: str, files: "Sequence[Upload]") -> None:
    """Uploads what is not there yet below a place: the names tell the content."""
    bucket, folder = split(place)
    for file in files:
        with translated(f"uploading to gs://{bucket}"):
            blob = google.storage.bucket(bucket).blob(f"{folder.rstrip('/')}/{file.key}")
            try:
                blob.upload_from_filename(str(file.source), if_generation_match=0, retry=RETRY)
            except exceptions.PreconditionFailed:
                continue  # it is there


def download_outputs(google: Google, place: str, target: Path) -> list[Path]:
    """Downloads a trial's model (``AIP_MODEL_DIR``); everything in its folder where it left none.

    Raises:
        TrialError: it left nothing, or something whose name leads outside of the folder.
    """
    files = download(google, f"{place.rstrip('/')}/model", target) or download(google, place, target)
    if not files:
        raise TrialError(f"there are no files in {place}")
    return files


def download(google: Google, place: str, target: Path) -> list[Path]:
    """Downloads all objects below a place.

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
            below = PurePosixPath(blob.name.removeprefix(prefix))
            if blob.name.endswith("/"):
                continue  # stands for a folder
            if below.is_absolute() or ".." in below.parts:
                raise TrialError(f"gs://{bucket}/{blob.name} is not downloaded: its name leads out of the folder")
            path = target / below
            path.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(str(path), retry=RETRY)
            files.append(path)
    return files


def read_if_changed(google: Google, place: str, generation: int | None) -> tuple[int, str] | None:
    """The content of an object and its generation; None if it is not there or still of the given generation."""
    bucket, name = split(place)
    blob = google.storage.bucket(bucket).blob(name)
    with translated(f"reading {place}"):
        try:
            content = blob.download_as_bytes(if_generation_not_match=generation, retry=RETRY)
        except (exceptions.NotFound, exceptions.NotModified):
            return None
    return int(blob.generation or 0), content.decode("utf-8", "replace")
