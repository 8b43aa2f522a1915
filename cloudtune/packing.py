"""What travels to a service beside the request: the user's code with the trial helper, and local data."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune import trial
from cloudtune.errors import Problem, SpecError
from cloudtune.metrics import metric_patterns
from cloudtune.private import masked
from cloudtune.source import MAX_SIZE, files_of
from cloudtune.units import format_size

if TYPE_CHECKING:
    from cloudtune.job import TuningJob
    from cloudtune.space_codec import SpaceCodec

HELPER = "cloudtune_trial.py"
"""The helper's name beside the user's code: the program that a service starts."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that goes to the service's storage under a name that tells its content.

    Attributes:
        source: the file here.
        key: its name below the prefix.
    """

    source: Path
    key: str


def pack(job: "TuningJob", codec: "SpaceCodec", base: Path, target: Path, *, provider: str) -> str:
    """Packs the code and the helper of a job into files of a new folder, byte for byte the same for the same input.

    The folder then holds ``sourcedir.tar.gz`` (the code, the helper, and what the helper runs), and beside it the
    helper and its job file alone, for images whose entrypoint is the helper.

    Args:
        job: whose trial has a command or a function.
        codec: how its space travels.
        base: where the job's relative paths start.
        target: the folder, which is made.
        provider: whose places of the job's inputs count.

    Returns:
        The hash of all that was packed: 16 hexadecimal digits.

    Raises:
        SpecError: the code is larger than `MAX_SIZE`.
    """
    target.mkdir(parents=True)
    helper = Path(trial.__file__).read_bytes()
    own = {HELPER: helper, trial.JOB_FILE: _job_file(job, codec, base, provider)}
    source = None if job.trial.source is None else base / job.trial.source
    code = target / trial.SOURCE_FILE
    with code.open("wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        _write_tar(packed, source, job.trial.ignore, own)
    (target / "trial.py").write_bytes(helper)
    (target / trial.JOB_FILE).write_bytes(own[trial.JOB_FILE])
    return _hash_of(sorted(target.iterdir()))


def _job_file(job: "TuningJob", codec: "SpaceCodec", base: Path, provider: str) -> bytes:
    command, local = job.trial.command, local_data(job, provider)
    content = {
        "codecs": codec.to_data(),
        "names": list(job.space),
        "command": command if command is None or isinstance(command, str) else list(command),
        "function": job.trial.function,
        "metric": job.objective[0].metric,
        "patterns": metric_patterns(job.objective, job.metrics),
        "spec": masked(job).to_data(),
        "data": {name: _file_below(place, base) for name, place in local.items()}
        | dict.fromkeys(job.data.keys() - local.keys(), ""),
    }
    return json.dumps(content, sort_keys=True).encode()


def _file_below(place: str, base: Path) -> str:
    """What follows the folder of an input in the container: the name of a single file, nothing for a folder."""
    path = base / place
    return path.name if path.is_file() else ""


def local_data(job: "TuningJob", provider: str) -> dict[str, str]:
    """The job's inputs that lie on this machine: paths by name.

    Args:
        job: the spec.
        provider: whose places count.
    """
    from cloudtune.job import pick  # noqa: PLC0415  # the spec is loaded when there is one

    places = {name: pick(value, provider) for name, value in job.data.items()}
    return {
        name: place.removeprefix("file://")
        for name, place in places.items()
        if place is not None and ("://" not in place or place.startswith("file://"))
    }


def _write_tar(target: Any, source: Path | None, ignore: Sequence[str], own: Mapping[str, bytes]) -> None:
    total = 0
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in files_of(source, ignore) if source is not None else ():
            assert source is not None
            total += (source / path).lstat().st_size
            if total > MAX_SIZE:
                hint = "name what is not code under trial.ignore, and data under data"
                raise SpecError([Problem("trial.source", f"{source} is larger than {format_size(MAX_SIZE)}", hint)])
            _add(archive, archive.gettarinfo(source / path, str(path)), source / path)
        for name, content in own.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(_plain(info), io.BytesIO(content))


def _add(archive: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
    if info.isreg():
        with path.open("rb") as file:
            archive.addfile(_plain(info), file)
    else:
        archive.addfile(_plain(info))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same entry without what differs from one machine, user or moment to the next."""
    info.mtime = 0
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.mode & 0o100 or info.name == HELPER else 0o644
    info.pax_headers = {}
    return info


def data_uploads(place: Path) -> tuple[str, list[Upload]]:
    """A local input as files to upload, and the hash of all of it: the folder's files, or one file.

    Raises:
        OSError: a file cannot be read.
    """
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    root = place.parent if place.is_file() else place
    digest = _hash_of(files, root)
    return digest, [Upload(path, path.relative_to(root).as_posix()) for path in files]


def _hash_of(files: Sequence[Path], root: Path | None = None) -> str:
    digest = hashlib.sha256()
    for path in files:
        name = path.name if root is None else path.relative_to(root).as_posix()
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        for chunk in _chunks(path):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
