"""Script mode: what the sagemaker-training-toolkit in a framework image does before the user's script runs.

Read from the toolkit's entry_point.py, files.py, process.py and mapping.py. Not done: installing requirements (the
packages of this machine are the image's), and the launchers of distributed training (MPI, torchrun).
"""

import importlib.metadata
import re
import shlex
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudtune.errors import ProviderError
from cloudtune_sagemaker.emulator.cloud import Cloud, split_uri
from cloudtune_sagemaker.emulator.contract import Room, arguments, decoded, for_the_program
from cloudtune_sagemaker.emulator.failures import JobFailure
from cloudtune_sagemaker.emulator.training import Training

_LAUNCHERS = ("sagemaker_mpi_enabled", "sagemaker_torch_distributed_enabled", "sagemaker_pytorch_ddp_enabled",
              "sagemaker_distributed_dataparallel_enabled", "sagemaker_parameter_server_enabled")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Script:
    """A user's script.

    Attributes:
        program: its name, relative to the code's folder.
        source: where the code is: an archive in S3, or a path that the container sees.
        arguments: its command line.
        launchers: the hyperparameters that ask for a launcher, which the emulator has not.
    """

    program: str
    source: str
    arguments: tuple[str, ...]
    launchers: tuple[str, ...]


def script_of(training: Training, room: Room) -> Script | None:
    """Return the script that a job's hyperparameters name; None for a job that is not in script mode."""
    given = decoded({name: room.seen(value) for name, value in training.hyperparameters.items()})
    program = training.environment.get("SAGEMAKER_PROGRAM") or given.get("sagemaker_program")
    source = given.get("sagemaker_submit_directory") or training.environment.get("SAGEMAKER_SUBMIT_DIRECTORY")
    if not program or not source:
        return None
    words = arguments(for_the_program(given))
    return Script(str(program), str(source), tuple(words), tuple(name for name in _LAUNCHERS if given.get(name)))


def install(script: Script, room: Room, cloud: Cloud) -> None:
    """Put the script's code into ``/opt/ml/code``.

    Raises:
        JobFailure: there is no such code, or it is no archive, or it would leave its folder.
    """
    code = room.root / "code"
    if script.source.startswith("s3://"):
        _fetch(script.source, code, room.root.parent, cloud)
    else:
        _copy(script.source, code, room)
    if not script.program.endswith(".py") and (code / "setup.py").is_file():
        return  # a package: the program is the name of a module
    if not (code / script.program).is_file():
        raise JobFailure(f"AlgorithmError: there is no {script.program!r} in {script.source} (sagemaker_program)")


def _fetch(uri: str, code: Path, place: Path, cloud: Cloud) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            archive = Path(folder, "sourcedir.tar.gz")
            cloud.download(*split_uri(uri), archive)
            unpack(archive, code)
    except ProviderError as error:
        raise JobFailure(f"AlgorithmError: the code cannot be had from {uri}: {error}") from error
    except tarfile.TarError as error:
        raise JobFailure(f"AlgorithmError: {uri} cannot be unpacked: {error}") from error


def _copy(path: str, code: Path, room: Room) -> None:
    source = room.inside(path)
    if source is None or not source.exists():
        hint = "the emulator has no files of an image" if source is None else "the channels hold no such file"
        raise JobFailure(f"AlgorithmError: there is no sagemaker_submit_directory {path!r}: {hint}")
    if source == code:
        return
    if source.is_dir():
        shutil.copytree(source, code, dirs_exist_ok=True)
    elif tarfile.is_tarfile(source):
        try:
            unpack(source, code)
        except tarfile.TarError as error:
            raise JobFailure(f"AlgorithmError: {path} cannot be unpacked: {error}") from error
    else:
        shutil.copy2(source, code)


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar file into a folder.

    Raises:
        tarfile.TarError: it is none, or an entry would leave the folder or is no plain file, folder or link.
    """
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")


def command(script: Script, room: Room) -> list[str]:
    """Return what the toolkit executes in ``/opt/ml/code``: a program of Python, a module of a package, or a shell's."""
    code = room.root / "code"
    if script.program.endswith(".sh"):
        return _shell(script, code)
    if (code / "setup.py").is_file():
        return [sys.executable, "-m", script.program.replace(".py", ""), *script.arguments]
    if script.program.endswith(".py"):
        return [sys.executable, script.program, *script.arguments]
    return _shell(script, code)


def _shell(script: Script, code: Path) -> list[str]:
    (code / script.program).chmod(0o777)
    return ["/bin/sh", "-c", f"./{script.program} {shlex.join(script.arguments)}"]


def environment(room: Room, given: Mapping[str, str]) -> dict[str, str]:
    """Return what script mode adds to the environment: the code is importable from everywhere."""
    path = [f"{room.base}/code", *filter(None, [given.get("PYTHONPATH")])]
    return {"PYTHONPATH": ":".join(path)}


def remarks(script: Script, room: Room) -> list[str]:
    """Return what the emulator does otherwise than a framework image, as lines for the job's log."""
    lines = [
        f"emulator: {name} is not heeded: one process runs on each host, without a launcher"
        for name in script.launchers
    ]
    missing = missing_requirements(room.root / "code" / "requirements.txt")
    if missing:
        lines.append(
            "emulator: requirements.txt is not installed, this machine's packages stand for the image's; "
            f"missing: {', '.join(missing)}"
        )
    return lines


def missing_requirements(file: Path) -> list[str]:
    """Return the packages of a requirements file that this Python has not, whatever their version."""
    if not file.is_file():
        return []
    names: list[str] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        found = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(?=[\[=<>!~;@#,(]|$)", line)
        if found and not _installed(found.group(1)):
            names.append(found.group(1))
    return names


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def failure(words: list[str], code: int, output: str) -> str:
    """Return the failure that the toolkit describes (errors.ExecuteUserScriptError)."""
    detail: dict[str, Any] = {"ErrorMessage": output, "Command": shlex.join(words)}
    lines = [f'{name} "{text}"' for name, text in detail.items()]
    return "\n".join(["ExecuteUserScriptError:", f"ExitCode {code}", *lines])
