"""Hosts as the driver reaches them: by the program ``ssh``."""

from pathlib import Path
from typing import IO, Annotated

from pydantic import BeforeValidator, Field

from cloudtune.process.machine import Machine
from cloudtune.process.ssh import SshConnection
from cloudtune.provider.settings import Settings, Text

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
        self._connection = SshConnection(
            name, user=settings.user, port=settings.port, identity=settings.identity, config=settings.config
        )

    def execute(self, script: str, given: IO[bytes] | None, got: IO[bytes]) -> None:
        self._connection.execute(script, given, got)

    def close(self) -> None:
        self._connection.close()
