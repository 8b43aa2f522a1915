"""Packing of what is uploaded to a service: the user's code with the trial helper, and local data."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.package import add_files, plain
from cloudtune.bundle.source import source_tree
from cloudtune.bundle.tree import File, tree_of
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.spec.places import is_remote, local_path
from cloudtune.spec.sources import heard
from cloudtune.store.secrets import masked
from cloudtune.trial import container, start

if TYPE_CHECKING:
    from cloudtune.space.space_codec import SpaceCodec

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to upload to the service's storage, below a prefix with the hash of the content.

    Attributes:
        source: the local file.
        key: its name below the prefix.
        stamp: its size and time of modification when it was hashed; None where it cannot change.
    """

    source: Path
    key: str
    stamp: tuple[int, int] | None = None

    @property
    def changed(self) -> bool:
        """Whether the file has changed since it was hashed."""
        return self.stamp is not None and self.stamp != _stamp(self.source)


def pack(job: TuningJob, codec: "SpaceCodec", base: Path, target: Path, *, provider: str, contract: Path) -> str:
    """Pack the code and the helper of a job into files of a new folder; equal input gives equal bytes.

    The folder then holds ``sourcedir.tar.gz`` (the code, the helper and the helper's job file), and beside it the
    program that starts the helper and its job file, for images whose entrypoint is that program.

    Args:
        job: whose trial has a command or a function.
        codec: the codec of its space.
        base: where the job's relative paths start.
        target: the folder to create.
        provider: the provider whose entries of ``data`` count.
        contract: the provider's module ``container``, see `cloudtune.trial.container.Container`.

    Returns:
        The hash of all that was packed: 16 hexadecimal digits.

    Raises:
        SpecError: a file of the source cannot be read.
    """
    target.mkdir(parents=True, mode=0o700)
    own = {**_helper(contract), container.JOB_FILE: _job_file(job, codec, base, provider)}
    files = () if job.trial.source is None else source_tree(job, base).files
    with (
        (target / container.SOURCE_FILE).open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
    ):
        _write_tar(packed, files, own)
    (target / "trial.py").write_bytes(own[container.HELPER])
    (target / container.JOB_FILE).write_bytes(own[container.JOB_FILE])
    packed_files = sorted(target.iterdir())
    for path in packed_files:
        path.chmod(0o600)
    return _hash_of([Upload(path, path.name) for path in packed_files])


def _helper(contract: Path) -> dict[str, bytes]:
    """Return the files of the helper by their names beside the user's code."""
    program = Path(start.__file__)
    own = program.parent
    files = {path.relative_to(own).as_posix(): path for path in own.rglob("*.py") if path != program}
    files[f"{container.CONTRACT}.py"] = contract
    package = {f"{container.PACKAGE}/{name}": path.read_bytes() for name, path in sorted(files.items())}
    return {container.HELPER: program.read_bytes(), **package}


def _job_file(job: TuningJob, codec: "SpaceCodec", base: Path, provider: str) -> bytes:
    command, local = job.trial.command, local_data(job, provider)
    content = {
        "codecs": codec.to_data(),
        "names": list(job.space),
        "command": command if command is None or isinstance(command, str) else list(command),
        "function": job.trial.function,
        "metric": job.objective[0].metric,
        "patterns": metric_patterns(job.measured, job.metrics),
        **({"heard": heard(job)} if heard(job) else {}),
        "spec": masked(job).to_data(portable=True),
        "data": {name: _file_below(place, base) for name, place in local.items()}
        | dict.fromkeys(job.data.keys() - local.keys(), ""),
    }
    return json.dumps(content, sort_keys=True).encode()


def _file_below(place: str, base: Path) -> str:
    """Return the name of an input that is a single file, which its path in the container ends with; "" for a folder."""
    path = base / place
    return path.name if path.is_file() else ""


def local_data(job: TuningJob, provider: str) -> dict[str, str]:
    """Return the paths of the job's inputs on this machine by name.

    Args:
        job: the spec.
        provider: the provider whose entries of ``data`` count.
    """
    places = {name: pick(value, provider) for name, value in job.data.items()}
    return {name: local_path(place) for name, place in places.items() if place is not None and not is_remote(place)}


def _write_tar(target: Any, files: Sequence[File], own: Mapping[str, bytes]) -> None:
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        add_files(archive, files, "trial.source")
        for name, content in own.items():
            archive.addfile(plain(name, len(content), executable=name == container.HELPER), io.BytesIO(content))


def data_uploads(place: Path) -> tuple[str, list[Upload]]:
    """Return the hash of a local input (a folder or a file) and its files to upload.

    Raises:
        OSError: a file cannot be read.
    """
    files = [Upload(file.path, file.name, _stamp(file.path)) for file in tree_of(place).files]
    return _hash_of(files), files


def _hash_of(files: Sequence[Upload]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.key}\0{file.source.stat().st_size}\0".encode())
        for chunk in _chunks(file.source):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
