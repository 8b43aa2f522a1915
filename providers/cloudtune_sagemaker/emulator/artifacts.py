"""Results: model.tar.gz, output.tar.gz and checkpoints, on their way to S3 and back.

"How Amazon SageMaker Processes Training Output" and "Checkpoints in Amazon SageMaker".
"""

import gzip
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cloudtune.errors import ProviderError
from cloudtune_sagemaker.emulator.channels import download_prefix
from cloudtune_sagemaker.emulator.cloud import Cloud, split_uri
from cloudtune_sagemaker.emulator.contract import Room
from cloudtune_sagemaker.emulator.failures import JobFailure
from cloudtune_sagemaker.emulator.training import BASE, Training

_FAST = 1  # of gzip's levels: models are mostly numbers, which hardly shrink


def files_below(folder: Path) -> Iterator[str]:
    """Yield the paths of files, links and folders below a folder, relative to it and in a fixed order."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name) if folder.is_dir() else ():
        if entry.is_dir(follow_symlinks=False):
            yield entry.name
            yield from (f"{entry.name}/{below}" for below in files_below(Path(entry.path)))
        elif entry.is_symlink() or entry.is_file():
            yield entry.name


def write_tar(folders: Sequence[Path], target: Path) -> bool:
    """Pack the contents of folders into one tar.gz, the same bytes for the same contents.

    Args:
        folders: where two have a file of the same path, that of the first is taken.
        target: the archive.

    Returns:
        Whether there was anything to pack.

    Raises:
        OSError: a file cannot be read or written.
    """
    seen: set[str] = set()
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", _FAST, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for folder in folders:
            for path in files_below(folder):
                if path not in seen:
                    seen.add(path)
                    _add(tar, folder / path, path)
    return bool(seen)


def _add(tar: tarfile.TarFile, source: Path, path: str) -> None:
    info = tar.gettarinfo(source, path)
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() or info.mode & stat.S_IXUSR else 0o644
    if info.islnk():  # the second name of a file that is packed already, perhaps from elsewhere: a file of its own
        info.type, info.size = tarfile.REGTYPE, source.stat().st_size
    if info.isreg():
        with source.open("rb") as file:
            tar.addfile(info, file)
    else:
        tar.addfile(info)


def upload_results(training: Training, rooms: Sequence[Room], cloud: Cloud, *, model: str) -> str:
    """Put the model and the other output where OutputDataConfig says.

    Args:
        training: the job.
        rooms: of all its machines; their models become one.
        cloud: where to.
        model: "always", "if any" or "never".

    Returns:
        The address of the model; "" if there is none.

    Raises:
        JobFailure: it cannot be uploaded.
    """
    place = str(training.output.get("S3OutputPath", "")).rstrip("/")
    uri = f"{place}/{training.name}/output"
    try:
        with tempfile.TemporaryDirectory(dir=rooms[0].root.parent) as folder:
            packed = Path(folder, "output.tar.gz")
            if write_tar([room.root / "output" / "data" for room in rooms], packed):
                cloud.upload(packed, *split_uri(f"{uri}/output.tar.gz"))
            if model == "never":
                return ""
            return _upload_model(training, rooms, cloud, uri, Path(folder), always=model == "always")
    except (ProviderError, OSError) as error:
        raise JobFailure(f"ClientError: Artifact upload failed:{error}") from error


def _upload_model(
    training: Training, rooms: Sequence[Room], cloud: Cloud, uri: str, folder: Path, *, always: bool
) -> str:
    models = [room.root / "model" for room in rooms]
    if training.output.get("CompressionType") == "NONE":
        return _upload_plain(models, cloud, f"{uri}/model/", always=always)
    packed = folder / "model.tar.gz"
    if not write_tar(models, packed) and not always:
        return ""
    cloud.upload(packed, *split_uri(f"{uri}/model.tar.gz"))
    return f"{uri}/model.tar.gz"


def _upload_plain(models: Sequence[Path], cloud: Cloud, uri: str, *, always: bool) -> str:
    """Return the model as it is, file by file (OutputCompressionType NONE)."""
    uploaded = 0
    for model in reversed(models):  # the first host's files win
        uploaded += upload_folder(model, cloud, uri)
    return uri if uploaded or always else ""


def upload_folder(folder: Path, cloud: Cloud, uri: str) -> int:
    """Put the files below a folder below an address in S3; return how many.

    Raises:
        ProviderError: there is no such bucket.
        OSError: a file cannot be read.
    """
    bucket, prefix = split_uri(uri.rstrip("/") + "/")
    paths = [path for path in files_below(folder) if (folder / path).is_file()]
    for path in paths:
        cloud.upload(folder / path, bucket, prefix + path)
    return len(paths)


class Checkpoints:
    """The checkpoints of a job: a folder of each machine, kept in S3 (CheckpointConfig).

    Args:
        training: the job.
        cloud: where they are kept.
    """

    def __init__(self, training: Training, cloud: Cloud) -> None:
        self._uri: str = training.checkpoints.get("S3Uri", "")
        self._path: str = training.checkpoints.get("LocalPath") or f"{BASE}/checkpoints"
        self._cloud = cloud

    def restore(self, room: Room) -> None:
        """Bring what an earlier start, or another job, has saved.

        Raises:
            JobFailure: the place in S3 or the folder cannot be used.
        """
        if self._uri:
            folder = self._folder(room)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                download_prefix(self._uri, self._cloud, folder)
            except (ProviderError, OSError) as error:
                raise JobFailure(f"ClientError: Checkpoint download failed:{error}") from error

    def save(self, room: Room) -> None:
        """Keep what the program has saved.

        Raises:
            JobFailure: the place in S3 cannot be used.
        """
        if self._uri:
            try:
                upload_folder(self._folder(room), self._cloud, self._uri)
            except (ProviderError, OSError) as error:
                raise JobFailure(f"ClientError: Checkpoint upload failed:{error}") from error

    def _folder(self, room: Room) -> Path:
        folder = room.inside(self._path)
        if folder is None:
            raise JobFailure(f"ClientError: the emulator keeps checkpoints only below {BASE}, not in {self._path}")
        return folder
