"""The command emulate: serve the API of a cloud service on this machine."""

import contextlib
import shlex
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudtune.cli.choosing import completing
from cloudtune.cli.output import print_json
from cloudtune.errors import ConfigError
from cloudtune.plugins.entry_points import emulators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloudtune.emulation.emulator import Emulator


def _pairs(values: tuple[str, ...], option: str, example: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        left, equals, right = value.rpartition("=") if option == "--mount" else value.partition("=")
        if not equals or not left or not right:
            raise click.BadParameter(f"{value!r} is not like {example}", param_hint=option)
        pairs[left] = right
    return pairs


@click.command()
@click.argument("provider", metavar="PROVIDER", shell_complete=completing(emulators))
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Where to listen on 127.0.0.1; 0: any free port."
)
@click.option(
    "--image",
    "images",
    metavar="PATTERN=COMMAND",
    multiple=True,
    help='What stands for an image, with its arguments in "$@"; repeatable.',
)
@click.option(
    "--mount", "mounts", metavar="URI=FOLDER", multiple=True, help="A folder as objects of the service; repeatable."
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Deny what is not allowed in this file, which `cloudtune check --policy` has written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the variables as JSON.")
def emulate(
    provider: str,
    port: int,
    images: tuple[str, ...],
    mounts: tuple[str, ...],
    policy_file: Path | None,
    *,
    as_json: bool,
) -> int:
    """Serve a cloud service's API on this machine until Ctrl-C. PROVIDER may be a profile's name, too.

    Prints the environment variables by which its clients find it: cloudtune, SDKs, command lines. Training jobs really
    run, as processes of this machine: there is no Docker, its Python plays the images' role.

    \b
    Examples:
      cloudtune emulate sagemaker --mount s3://data/digits=./digits --image '*xgboost*=python3 train.py'
      cloudtune emulate azureml --mount azureml://datastores/workspaceblobstore/paths/digits=./digits
      cloudtune emulate vertex --mount gs://data/digits=./digits --image '*/trainer:*=python3 train.py "$@"'
      cloudtune emulate kubernetes --mount pvc://datasets/digits=./digits
      cloudtune emulate aws --policy policy.json
    """
    programs = _pairs(images, "--image", """'*xgboost*=python3 train.py "$@"'""")
    folders = {uri: Path(folder) for uri, folder in _pairs(mounts, "--mount", "s3://bucket/prefix=./folder").items()}
    made = _emulator(provider)(port=port, images=programs, mounts=folders)
    made.enforce(None if policy_file is None else _policy_in(policy_file))
    with made as emulator, _signals() as signals:  # before what is printed: who reads it may end it at once
        if as_json:
            print_json(emulator.environment)
        else:
            for name, value in emulator.environment.items():
                click.echo(f"export {name}={shlex.quote(value)}")
            click.echo(f"# {provider} is at {emulator.url}; Ctrl-C ends it", err=True)
        _wait_for_signal(signals)
    return 0


def _policy_in(file: Path) -> dict[str, Any]:
    """Return the policies in a file, of JSON or YAML.

    Raises:
        ConfigError: there are none.
    """
    from cloudtune.interop.documents import read_document  # noqa: PLC0415  # few emulators enforce policies

    found = read_document(str(file)).data
    if not isinstance(found, dict):
        raise ConfigError(
            f"{file} has no policies; write them with: cloudtune check --policy --on PROFILE > {file.name}"
        )
    return found


def _emulator(name: str) -> "Callable[..., Emulator[Any]]":
    """Return the class of the emulator of a profile's or provider's service.

    Raises:
        ConfigError: there is no emulator, or a package that it needs is not installed.
    """
    from cloudtune.config import profiles  # noqa: PLC0415
    from cloudtune.plugins.entry_points import aliases  # noqa: PLC0415
    from cloudtune.provider.emulated import emulator_of  # noqa: PLC0415
    from cloudtune.store.projects import project_folder  # noqa: PLC0415

    profile = profiles(project_folder()).get(name)
    return emulator_of(profile.provider if profile is not None else aliases().get(name, name))


@contextlib.contextmanager
def _signals() -> "Iterator[socket.socket]":
    """Yield a socket that has a byte for each SIGINT and SIGTERM from now on.

    A handler of Python runs in the main thread alone, and the kernel may give a signal to another one (it does after SIGSTOP and
    SIGCONT), which ends no wait of the main thread; the byte is written by whichever thread it is.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        woken = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda *_: None) for number in _ENDING}
        try:
            yield reader
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(woken)


def _wait_for_signal(signals: socket.socket) -> None:
    """Wait for SIGINT or SIGTERM."""
    while signals.recv(1)[0] not in _ENDING:
        pass


_ENDING = (signal.SIGINT, signal.SIGTERM)
