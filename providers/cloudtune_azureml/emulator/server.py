"""Azure Machine Learning on this machine: Resource Manager, run history, MLflow and blob storage over https; jobs really run."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from cloudtune.emulation.certificate import throw_away
from cloudtune.emulation.emulator import Emulator, listen, settings_of
from cloudtune.emulation.serving import LoopbackServer
from cloudtune.errors import ConfigError
from cloudtune_azureml.emulator.api import Api, not_admitted
from cloudtune_azureml.emulator.blobs import PREFIX, BlobHandler, Blobs
from cloudtune_azureml.emulator.clients import EmulatorCredential, allow_import, cloud_at
from cloudtune_azureml.emulator.clusters import Clusters
from cloudtune_azureml.emulator.credentials import Tokens
from cloudtune_azureml.emulator.faults import Faults
from cloudtune_azureml.emulator.permissions import AzurePolicy
from cloudtune_azureml.emulator.records import Runs
from cloudtune_azureml.emulator.worker import DATASTORES
from cloudtune_azureml.emulator.workspace import Workspace

_NONE: Mapping[str, Any] = MappingProxyType({})

ENVIRONMENT = "azureml:emulated:1"
"""The environment of cloudtune's jobs that name none: the Python that runs the emulator takes the place of every one."""


class AzureMlEmulator(Emulator[Faults]):
    """One workspace of Azure Machine Learning on this machine; jobs run as processes here.

    There is no Docker: this machine's Python and packages play every environment's role. A context manager, which
    serves from its entering to its leaving.

    Args:
        port: of 127.0.0.1; 0 for a free one.
        folder: for storage and what jobs leave on this machine; None for one that is removed at the end.
        images: nothing stands for an image here: commands are run as they are; for the sake of other emulators.
        mounts: folders whose files are in datastores at the start, by ``azureml://datastores/NAME/paths/PREFIX``.
        faults: what goes wrong on purpose; None for nothing, but it may be changed in `faults`.
        policy: what is permitted to clients, and to jobs that use storage as an identity of their own; see
            `Emulator.enforce`. Other jobs use it by the workspace's credentials.
        subscription: its id.
        resource_group: its name.
        workspace: its name.
        computes: names of its compute targets, to which clients may add; ``*`` for any name.
        grace: seconds that a program has between SIGTERM and SIGKILL.
        machine_start: seconds that machines take to start for a job, unless its cluster has idle ones.
    """

    def __init__(
        self,
        port: int = 0,
        folder: Path | None = None,
        *,
        images: Mapping[str, Any] = _NONE,
        mounts: Mapping[str, str | Path] = _NONE,
        faults: Faults | None = None,
        policy: Mapping[str, Any] | None = None,
        subscription: str = "00000000-0000-0000-0000-000000000000",
        resource_group: str = "emulated",
        workspace: str = "emulated",
        computes: Collection[str] = ("cpu-cluster", "gpu-cluster"),
        grace: float = 2.0,
        machine_start: float = 0.0,
    ) -> None:
        if images:
            raise ConfigError(
                "Azure Machine Learning runs commands, not images' own programs: nothing can stand for one"
            )
        self.subscription, self.resource_group, self.workspace = subscription, resource_group, workspace
        super().__init__("azureml", folder, mounts, Faults() if faults is None else faults, policy, machine_start)
        self.blobs = Blobs(self.folder / "storage")
        self._tokens = Tokens()
        context, self.certificate = throw_away(self.folder / "tls")
        self.jobs = Workspace(
            self.arm_id,
            computes=computes,
            authority=self.authority,
            tokens=self._tokens,
            runs=Runs(),
            blobs=self.blobs,
            faults=self.faults,
            clusters=Clusters(self.machine_starts),
            workplace=self._workplace,
            grace=grace,
            environment=self._of_job,
            url=lambda: self.url,
        )
        api = Api(self.jobs, tokens=self._tokens, faults=self.faults, served=self._count, url=lambda: self.url)
        self._server = LoopbackServer(
            port, api, admit=self._tokens.admit, refuse=not_admitted, handler=BlobHandler, tls=context
        )

    @staticmethod
    def read_policy(document: Any) -> AzurePolicy:
        return AzurePolicy(document)

    @classmethod
    def standing_in(cls, mounts: Mapping[str, Path]) -> Self:
        return cls(mounts=mounts, computes=("*",))

    def start(self) -> Self:
        self._furnish()
        listen(self._server.start)
        return self

    def stop(self) -> None:
        """End all jobs with their processes and threads, and close the port."""
        self._server.stop()
        self.jobs.close()
        self._workplace.close()

    # Where it is

    @property
    def url(self) -> str:
        """Its address."""
        return self._server.url

    @property
    def arm_id(self) -> str:
        """The full id of the workspace."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{self.workspace}"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow finds the workspace's runs."""
        return f"{self.url}/mlflow/v1.0{self.arm_id}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which cloudtune, MLflow and ``azure.identity`` find the emulator, trust it and are let in."""
        own = settings_of(
            "azureml",
            endpoint=self.url,
            subscription=self.subscription,
            resource_group=self.resource_group,
            workspace=self.workspace,
            environment=ENVIRONMENT,
            compute="cpu-cluster",
            poll="0.2",
        )
        tracking = {"MLFLOW_TRACKING_URI": self.tracking_uri, "MLFLOW_TRACKING_TOKEN": self._tokens.access}
        return {**own, **self._trusted, **tracking, **self._tokens.environment(self.url)}

    @property
    def credential(self) -> EmulatorCredential:
        """A credential of this start, for the SDK's clients."""
        return EmulatorCredential(self._tokens.access)

    @property
    def uploads(self) -> str:
        """The address of a container of blobs, with the signature that opens it."""
        return f"{self.url}{PREFIX}uploads?{self._tokens.shared_access}"

    @property
    def _trusted(self) -> dict[str, str]:
        return {"REQUESTS_CA_BUNDLE": str(self.certificate), "MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.certificate)}

    def ml_client(self) -> Any:  # azure.ai.ml.MLClient
        """Return the SDK's client for the workspace, in a process that has the variables of `environment`."""
        allow_import()
        from azure.ai.ml import MLClient  # noqa: PLC0415  # takes seconds

        return MLClient(self.credential, self.subscription, self.resource_group, self.workspace, **cloud_at(self.url))

    def wait(self, job: str, timeout: float | None = None) -> str:
        """Wait for the end of a job, at most so many seconds, and return its state.

        Raises:
            Refused: there is no such job.
        """
        return self.jobs.wait(job, timeout)

    # Inside

    def _of_job(self, name: str, experiment: str) -> dict[str, str]:
        """Return variables of a job: those by which MLflow finds its own run, and ``azure.identity`` what stands for its compute's identity."""
        return {
            **self._trusted,
            **self._tokens.environment(self.url),
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_TRACKING_TOKEN": self._tokens.of_run(name),
            "MLFLOW_EXPERIMENT_NAME": experiment,
            "MLFLOW_EXPERIMENT_ID": experiment,
            "MLFLOW_RUN_ID": name,
            "AZUREML_ARM_SUBSCRIPTION": self.subscription,
            "AZUREML_ARM_RESOURCEGROUP": self.resource_group,
            "AZUREML_ARM_WORKSPACE_NAME": self.workspace,
        }

    def _furnish(self) -> None:
        for container in (*DATASTORES.values(), "uploads"):
            (self.blobs.folder / container).mkdir(parents=True, exist_ok=True)
        for uri, folder in self._mounted():
            store, _, prefix = uri.partition("datastores/")[2].partition("/paths/")
            self.blobs.copy(folder, DATASTORES.get(store, store), prefix.strip("/"))
