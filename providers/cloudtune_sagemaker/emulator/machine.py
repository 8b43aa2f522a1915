"""How the program of one machine is started: its words, its environment, its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudtune.emulation.images import Images
from cloudtune.emulation.mounting import Mounting
from cloudtune.emulation.processes import Start
from cloudtune.emulation.starting import environment_of, with_the_emulator
from cloudtune_sagemaker.emulator import contract, toolkit
from cloudtune_sagemaker.emulator.cloud import Cloud
from cloudtune_sagemaker.emulator.contract import Room
from cloudtune_sagemaker.emulator.failures import JobFailure
from cloudtune_sagemaker.emulator.training import BASE, Training


@dataclass(frozen=True, slots=True)
class Program:
    """What a machine runs.

    Attributes:
        words: the program and its arguments.
        variables: what it needs in its environment besides the contract's.
        script: the toolkit's part in it; None outside of script mode.
        remarks: lines for the job's log.
    """

    words: list[str]
    variables: Mapping[str, str]
    script: toolkit.Script | None = None
    remarks: tuple[str, ...] = ()


def program_of(training: Training, room: Room, images: Images, cloud: Cloud) -> Program:
    """Return what to run on a machine; in script mode its code is unpacked.

    As on the service the request's entrypoint comes first; then script mode, for which the emulator itself does what
    the toolkit in a framework image does; then the program that its user gave for the image.

    Raises:
        JobFailure: there is nothing that the emulator could run, or the code cannot be had.
    """
    extra = [room.seen(word) for word in training.algorithm.get("ContainerArguments") or []]
    entrypoint = training.algorithm.get("ContainerEntrypoint")
    if entrypoint:
        return Program([*(room.seen(word) for word in entrypoint), *extra], {})
    script = toolkit.script_of(training, room)
    if script is not None:
        toolkit.install(script, room, cloud)
        words, remarks = toolkit.command(script, room), toolkit.remarks(script, room)
        return Program(words, toolkit.environment(room, training.environment), script, tuple(remarks))
    words_of_image = images.program(training.image)
    if words_of_image is not None:
        return Program([*words_of_image, *extra], {})
    raise JobFailure(
        f"ClientError: the emulator has no Docker and cannot run the image {training.image!r}; this machine's Python "
        "plays an image's role. Tell the emulator which program stands for this image (a pattern and a command, see "
        "Images), or give AlgorithmSpecification.ContainerEntrypoint, or the hyperparameters sagemaker_program and "
        "sagemaker_submit_directory"
    )


def start_of(
    training: Training,
    room: Room,
    program: Program,
    way: Mounting,
    given: Mapping[str, str],
    mark: Path,
    scratch: Path | None = None,
) -> Start:
    """Return how to start a program on a machine.

    Args:
        training: the job.
        room: the machine's folder.
        program: what to run.
        way: how the folder becomes ``/opt/ml``.
        given: variables from the user of the emulator, e.g. AWS_ENDPOINT_URL and credentials for it.
        mark: the job's folder, by which its processes are found.
        scratch: where it makes temporary files; None for the system's folder.
    """
    variables = {
        **_handed_in(training, given),
        **{name: room.seen(value) for name, value in training.environment.items()},
        **contract.variables(training, room),
        **program.variables,
        "CLOUDTUNE_RUN": training.name,
    }
    variables.pop("PATH", None)
    if "PATH" in training.environment:
        variables["PATH"] = training.environment["PATH"]
    environment = environment_of(variables, mark, mark / f"{room.host.name}.home", scratch)
    words = way.words(
        {BASE: room.root, **({"/etc/hosts": mark / "hosts"} if Path("/etc/hosts").is_file() else {})},
        mark / f"{room.host.name}.stage",
        f"{BASE}/code",
        [*with_the_emulator(), *program.words],
    )
    return Start(words, environment, room.root / "code", scratch)


def _handed_in(training: Training, given: Mapping[str, str]) -> dict[str, str]:
    """Return the user's variables; with EnableNetworkIsolation the container has no way to AWS, as on the service."""
    return {name: value for name, value in given.items() if not (training.isolated and name.startswith("AWS_"))}


def write_hosts(training: Training, mark: Path) -> None:
    """Write the ``/etc/hosts`` of the job: the machine's own, and each host at an address of this machine."""
    lines = [f"127.0.{1 + host.number // 250}.{1 + host.number % 250} {host.name}" for host in training.hosts]
    try:
        lines.append(Path("/etc/hosts").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        lines.append("127.0.0.1 localhost")
    (mark / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")
