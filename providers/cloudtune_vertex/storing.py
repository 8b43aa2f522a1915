"""Files on their way to Cloud Storage and back."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from google.api_core import exceptions

from cloudtune.errors import TrialError
from cloudtune_vertex.client import PATIENT, Google, translated

if TYPE_CHECKING:
    from cloudtune.packing import Upload


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
                blob.upload_from_filename(str(file.source), if_generation_match=0, retry=PATIENT)
            except exceptions.PreconditionFailed:
                continue  # it is there


def download(google: Google, place: str, target: Path) -> list[Path]:
    """Downloads all objects below a place.

    Args:
        google: the clients.
        place: ``gs://bucket/folder``.
        target: a folder; made if it is not there.

    Returns:
        The files, below the target.

    Raises:
        TrialError: there are none, or one whose name leads outside of the folder.
    """
    bucket, folder = split(place)
    prefix = f"{folder.rstrip('/')}/"
    files = []
    with translated(f"downloading from {place}"):
        for blob in google.storage.list_blobs(bucket, prefix=prefix, retry=PATIENT):
            below = PurePosixPath(blob.name.removeprefix(prefix))
            if blob.name.endswith("/"):
                continue  # stands for a folder
            if below.is_absolute() or ".." in below.parts:
                raise TrialError(f"gs://{bucket}/{blob.name} is not downloaded: its name leads out of the folder")
            path = target / below
            path.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(str(path), retry=PATIENT)
            files.append(path)
    if not files:
        raise TrialError(f"there are no files in {place}")
    return files


def read_if_changed(google: Google, place: str, generation: int | None) -> tuple[int, str] | None:
    """The content of an object and its generation; None if it is not there or still of the given generation."""
    bucket, name = split(place)
    blob = google.storage.bucket(bucket).blob(name)
    with translated(f"reading {place}"):
        try:
            content = blob.download_as_bytes(if_generation_not_match=generation, retry=PATIENT)
        except (exceptions.NotFound, exceptions.NotModified):
            return None
    return int(blob.generation or 0), content.decode("utf-8", "replace")
