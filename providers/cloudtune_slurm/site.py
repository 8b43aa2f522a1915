"""The cluster as the driver reaches it: Slurm's commands and the shared folder, on this machine or on a login node by ssh."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from cloudtune.process.machine import Machine
from cloudtune.process.ssh import SshConnection, run_program
from cloudtune_slurm import agent
from cloudtune_slurm.apart import PACKED
from cloudtune_slurm.orders import BATCHES
from cloudtune_slurm.settings import SlurmSettings

REMOTE_FOLDER = ".cache/cloudtune"
"""The folder for runs on a login node, relative to the home folder there, unless a profile says another."""


class Site(Machine):
    """A cluster, and the folder of a run in it.

    Attributes:
        direct: whether that is the run's own folder, whose files the driver reads itself.
        python: the interpreter on the nodes.
    """

    agent = "cloudtune_slurm.agent"
    direct: bool = False
    python: str

    def call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request says on the cluster; see `cloudtune_slurm.agent.call`, and `Machine.ask` for errors."""
        answer: dict[str, Any] = self.ask([request])[0]
        return answer

    def root(self) -> Path:
        """Return the absolute path of the run's folder on the cluster; see `Machine.ask` for errors."""
        with self._run(self._inside("pwd -P")) as said:
            return Path(said.read().decode().splitlines()[-1])


class HereSite(Site):
    """A cluster of which this machine is a node, usually a login node.

    Args:
        settings: of the profile.
        run: the name of the run's folder below ``folder``.
        folder: of the run in the project.
        files: see `Machine`.
    """

    def __init__(self, settings: SlurmSettings, run: str, folder: Path, files: Path) -> None:
        self._root = folder if settings.folder is None else Path(settings.folder).expanduser().absolute() / run
        self.direct = settings.folder is None
        self.python = settings.python or sys.executable
        super().__init__("the cluster", str(self._root), self.python, files)

    def execute(self, script: str, given: IO[bytes] | None, got: IO[bytes]) -> None:
        run_program(["sh", "-c", script], given, got)

    def call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return agent.call(self._root, request)

    def remove(self) -> None:
        if self.direct:
            names = " ".join(["lib", "source", "data", "ready", BATCHES, PACKED])
            self._run(self._inside(f"rm -rf {names}")).close()
        else:
            super().remove()

    def close(self) -> None:
        """Do nothing: there is no connection."""


class LoginNode(Site):
    """A login node that is reached by ssh; `run` and `files` as for `HereSite`."""

    def __init__(self, settings: SlurmSettings, run: str, files: Path) -> None:
        self.python = settings.python or "python3"
        super().__init__(settings.host, f"{settings.folder or REMOTE_FOLDER}/{run}", self.python, files)
        self._ssh = SshConnection(
            settings.host,
            user=settings.user,
            port=settings.port,
            identity=settings.identity,
            config=settings.config,
        )

    def execute(self, script: str, given: IO[bytes] | None, got: IO[bytes]) -> None:
        self._ssh.execute(script, given, got)

    def close(self) -> None:
        self._ssh.close()


def site_of(settings: SlurmSettings, run: str, folder: Path, files: Path) -> Site:
    """Return the site of a profile; see `HereSite` for the arguments."""
    return LoginNode(settings, run, files) if settings.host else HereSite(settings, run, folder, files)
