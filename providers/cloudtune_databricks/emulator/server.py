"""A Databricks workspace on this machine: one-time runs, volumes and workspace files over HTTP; tasks really run."""

import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from cloudtune.bundle.package import copy_files
from cloudtune.bundle.tree import tree_of
from cloudtune.emulation.emulator import Emulator, listen, settings_of
from cloudtune.emulation.serving import LoopbackServer
from cloudtune.errors import ConfigError
from cloudtune_databricks.emulator.api import CLIENT, USER, Api, Runs, Tokens, not_admitted
from cloudtune_databricks.emulator.errors import Faults
from cloudtune_databricks.emulator.files import Volumes, WorkspaceFiles
from cloudtune_databricks.emulator.model import Program
from cloudtune_databricks.emulator.runs import ROOT, Run, Workshop

_NONE: Mapping[str, Any] = MappingProxyType({})

VOLUME = "/Volumes/main/default/tuning"
"""The volume of the profile that an emulator tells."""


class DatabricksEmulator(Emulator[Faults]):
    """One workspace of Databricks on this machine; tasks run as processes here.

    There is no Spark: this machine's Python and packages play the role of every cluster and of serverless compute. A context
    manager, which serves from its entering to its leaving.

    Args:
        port: of 127.0.0.1; 0 for a free one.
        folder: for volumes and what runs leave on this machine; None for one that is removed at the end.
        images: nothing stands for an image here; for the sake of other emulators.
        mounts: folders whose files are on volumes at the start, by ``dbfs:///Volumes/CATALOG/SCHEMA/VOLUME/FOLDER``.
        faults: what goes wrong on purpose; None for nothing, but it may be changed in `faults`.
        volumes: their names, ``CATALOG.SCHEMA.VOLUME``; ``*`` for any.
        clusters: the ids of clusters that are there; ``*`` for any.
        parallel: how many runs run at once; the others wait, or are refused if their requests have no queue.
        kept: bytes of a run's output that are kept: its end.
        grace: seconds that a program has between SIGTERM and SIGKILL.
        machine_start: seconds that a cluster of a run's own takes to start.
    """

    def __init__(
        self,
        port: int = 0,
        folder: Path | None = None,
        *,
        images: Mapping[str, Any] = _NONE,
        mounts: Mapping[str, str | Path] = _NONE,
        faults: Faults | None = None,
        volumes: Collection[str] = ("main.default.tuning",),
        clusters: Collection[str] = ("0101-000000-emulated",),
        parallel: int | None = None,
        kept: int = 5 * 2**20,
        grace: float = 2.0,
        machine_start: float = 0.0,
    ) -> None:
        if images:
            raise ConfigError("Databricks runs the Python files of tasks: nothing can stand for an image")
        super().__init__(
            "databricks", folder, mounts, Faults() if faults is None else faults, machine_start=machine_start
        )
        self._tokens = Tokens()
        self.volumes = Volumes(self.folder / ROOT.strip("/"), volumes)
        files = WorkspaceFiles(self.folder / "workspace")
        workshop = Workshop(
            self.folder / "runs", self.volumes, files, self.faults, grace, kept,
            threading.Semaphore(parallel or 2000), self.machine_starts, self._of_task, self._workplace.scratch,
        )  # fmt: skip

        def make(run_id: int, program: Program) -> Run:
            return Run(run_id, program, workshop, USER)

        self.runs = Runs(make, clusters)
        self.runs.most = parallel or 0
        api = Api(
            self.runs,
            self.volumes,
            files,
            tokens=self._tokens,
            faults=self.faults,
            served=self._count,
            url=lambda: self.url,
        )
        self._server = LoopbackServer(port, api, admit=self._tokens.admit, refuse=not_admitted)

    @classmethod
    def standing_in(cls, mounts: Mapping[str, Path]) -> Self:
        return cls(mounts=mounts, volumes=("*",), clusters=("*",))

    def start(self) -> Self:
        self.volumes.make()
        for uri, folder in self._mounted():
            path = uri.removeprefix("dbfs://").removeprefix("dbfs:")
            copy_files(tree_of(folder).files, self.volumes.place(path), str(folder))
        listen(self._server.start)
        return self

    def stop(self) -> None:
        """End all runs with their processes and threads, and close the port."""
        self._server.stop()
        self.runs.close()
        self._workplace.close()

    # Where it is

    @property
    def url(self) -> str:
        """Its address."""
        return self._server.url

    @property
    def token(self) -> str:
        """The access token of clients."""
        return self._tokens.access

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which cloudtune and Databricks' own clients find the emulator and are let in."""
        own = settings_of("databricks", endpoint=self.url, volume=VOLUME, poll="0.2")
        return {**own, "DATABRICKS_HOST": self.url, "DATABRICKS_TOKEN": self.token}

    @property
    def principal(self) -> dict[str, str]:
        """Variables by which clients sign in as a service principal instead (OAuth for machines)."""
        return {
            "DATABRICKS_HOST": self.url,
            "DATABRICKS_CLIENT_ID": CLIENT,
            "DATABRICKS_CLIENT_SECRET": self._tokens.access,
        }

    # Inside

    def _of_task(self) -> dict[str, str]:
        return {"DATABRICKS_HOST": self.url, "DATABRICKS_TOKEN": self._tokens.of_tasks}
