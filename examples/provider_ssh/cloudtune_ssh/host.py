"""Hosts as the driver reaches them: by the program ``ssh``, through one connection to each that all calls share."""

import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Annotated

from pydantic import BeforeValidator, Field

from cloudtune.process.machine import Machine, ScriptError
from cloudtune.provider.settings import Settings, Text

_OPTIONS = (
    "BatchMode=yes",  # a password cannot be asked for
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlMaster=auto",
    "ControlPersist=60",
)

Word = Annotated[str, Field(pattern=r"^[^-\s]\S*$")]
Words = Annotated[tuple[Word, ...], BeforeValidator(lambda said: said.split(",") if isinstance(said, str) else said)]


class SshSettings(Settings):
    """What a profile may say besides ``provider = "ssh"``; what is null is as the user's ``~/.ssh/config`` says."""

    hosts: Words = ()
    user: Text = None
    port: int | None = None
    identity: Text = None
    """A file with a private key."""
    config: Text = None
    """A file in the place of ``~/.ssh/config``."""
    slots: Annotated[int, Field(ge=1)] = 1
    """Trials at once on each host."""
    gpus: int | tuple[str, ...] | dict[str, int | tuple[str, ...]] | None = None
    """GPUs that trials may have of each host: how many, or their numbers or UUIDs; by the host's name where hosts differ.

    Null: all that a host's ``nvidia-smi`` or ``rocm-smi`` finds.
    """
    folder: Annotated[str, Field(min_length=1)] = ".cache/cloudtune"
    """The folder for runs on each host, relative to the home folder there."""
    python: Word = "python3"
    """The interpreter on each host, of version 3.11 or newer."""
    grace: Annotated[float, Field(ge=0)] = 10.0
    """Seconds between the request to end (SIGTERM) and the end (SIGKILL)."""
    patience: Annotated[float, Field(ge=0)] = 60.0
    """Seconds without an answer of a host after which its trials start elsewhere."""

    def gpus_by_host(self) -> dict[str, int | tuple[str, ...]]:
        """Return which GPUs trials may have of those hosts of which that is said."""
        if isinstance(self.gpus, dict):
            return self.gpus
        return {} if self.gpus is None else dict.fromkeys(self.hosts, self.gpus)


class Host(Machine):
    """A host, by its name or address, and the folder of a run on it; `files` is what it gets once."""

    def __init__(self, name: str, settings: SshSettings, run: str, files: Path) -> None:
        super().__init__(name, f"{settings.folder}/{run}", settings.python, files)
        self._settings = settings
        self._sockets = tempfile.TemporaryDirectory(prefix="ct-")  # short: a socket's path has 107 characters at most

    def execute(self, script: str, given: IO[bytes] | None, got: IO[bytes]) -> None:
        words = self._ssh("-T", "--", self.name, f"exec sh -c {shlex.quote(script)}")
        with tempfile.TemporaryFile() as said:
            stdin = given or subprocess.DEVNULL
            # In a session of its own: Ctrl-C in a terminal is for the driver alone.
            code = subprocess.call(words, stdin=stdin, stdout=got, stderr=said, start_new_session=True)
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
        if code:
            raise ScriptError(lines[-1] if lines else f"ssh ended with code {code}", code)

    def close(self) -> None:
        subprocess.call(self._ssh("-O", "exit", "--", self.name), stderr=subprocess.DEVNULL)
        self._sockets.cleanup()

    def _ssh(self, *words: str) -> list[str]:
        own = self._settings
        said = {"-F": own.config, "-p": own.port, "-l": own.user, "-i": own.identity}
        flags = [word for flag, value in said.items() if value is not None for word in (flag, str(value))]
        options = [word for option in (*_OPTIONS, f"ControlPath={self._sockets.name}/%C") for word in ("-o", option)]
        return ["ssh", *flags, *options, *words]
