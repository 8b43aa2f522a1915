"""What a machine of a custom job runs, in the place of its image."""

import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from cloudtune.emulation.images import Images
from cloudtune.errors import CloudtuneError
from cloudtune_vertex.emulator.buckets import BucketMissing, Buckets
from cloudtune_vertex.emulator.contract import Machine


class JobFailure(CloudtuneError, RuntimeError):
    """A custom job cannot be started; the message is its error."""


def words_of(machine: Machine, extra: Sequence[str], images: Images) -> list[str]:
    """Return the program and its arguments.

    Args:
        machine: of the job.
        extra: the arguments of a trial's parameters, which come last.
        images: what stands for images.

    Raises:
        JobFailure: there is nothing that the emulator could run.
    """
    program = machine.program
    given = [*program.get("args", []), *extra]
    if "pythonModule" in program:
        return ["python3", "-m", program["pythonModule"], *given]
    if program.get("command"):  # "It overrides the entrypoint instruction in Dockerfile when provided"
        return [*program["command"], *given]
    words = images.program(program["imageUri"])
    if words is None:
        raise JobFailure(
            f"the emulator has no Docker and cannot run the image {program['imageUri']!r}; this machine's Python plays "
            "an image's role. Tell the emulator which program stands for this image (a pattern and a command, see "
            "Images), or give containerSpec.command"
        )
    return [*words, *given]


def unpack(uris: Sequence[str], buckets: Buckets, folder: Path) -> list[Path]:
    """Unpack the packages of a PythonPackageSpec, which the service would install.

    Nothing is built or installed: what a package needs must be among this machine's own packages.

    Args:
        uris: ``gs://`` places of source distributions and wheels.
        buckets: where they are.
        folder: for what is in them; must not be there yet.

    Returns:
        The folders to be searched for modules.

    Raises:
        JobFailure: a package is not there, or cannot be unpacked.
    """
    found: list[Path] = []
    for number, uri in enumerate(uris):
        target = folder / str(number)
        target.mkdir(parents=True)
        try:
            found += _unpack(buckets.path(uri), target)
        except (OSError, ValueError, BucketMissing, tarfile.TarError, zipfile.BadZipFile) as error:
            raise JobFailure(f"the package {uri} cannot be unpacked: {type(error).__name__}: {error}") from error
    return found


def _unpack(package: Path, target: Path) -> list[Path]:
    """Unpack one package and return where its modules are."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            wheel.extractall(target)  # noqa: S202  # zipfile keeps all names within the folder
        return [target, *target.glob("*.data/purelib"), *target.glob("*.data/platlib")]
    if package.suffix == ".zip":
        with zipfile.ZipFile(package) as archive:
            archive.extractall(target)  # noqa: S202  # as above
    else:
        with tarfile.open(package) as tar:
            tar.extractall(target, filter="data")
    # A source distribution has one folder; its modules are there or, in the other common layout, in src.
    tops = [path for path in target.iterdir() if path.is_dir()]
    return [folder for top in tops for folder in (top, top / "src") if folder.is_dir()]
