"""Vertex AI on this machine: JobService, VizierService and more over gRPC and REST, Cloud Storage and Cloud Logging; jobs really run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from google.auth.external_account_authorized_user import Credentials

from cloudtune.bundle.tree import tree_of
from cloudtune.emulation.emulator import Emulator, listen, settings_of
from cloudtune.emulation.images import Images
from cloudtune_vertex.emulator.api import UI, RestApi, called
from cloudtune_vertex.emulator.buckets import Buckets
from cloudtune_vertex.emulator.credentials import Tokens
from cloudtune_vertex.emulator.entries import LogEntries
from cloudtune_vertex.emulator.faults import Faults
from cloudtune_vertex.emulator.grpc_api import GrpcServer
from cloudtune_vertex.emulator.http import HttpServer
from cloudtune_vertex.emulator.logging_api import LoggingApi
from cloudtune_vertex.emulator.permissions import GooglePolicy
from cloudtune_vertex.emulator.registry import Jobs
from cloudtune_vertex.emulator.resources import Resources
from cloudtune_vertex.emulator.service import VERSIONS, JobServices
from cloudtune_vertex.emulator.storage_api import StorageApi
from cloudtune_vertex.emulator.studies import Studies
from cloudtune_vertex.emulator.worker import Workshop

_NONE: Mapping[str, Any] = MappingProxyType({})

IMAGE = "emulated:python"
"""The image of cloudtune's jobs that name none: the Python that runs the emulator takes the place of every image."""


class VertexEmulator(Emulator[Faults]):
    """Vertex AI's jobs, Cloud Storage and Cloud Logging on this machine; custom jobs run as processes here.

    There is no Docker: this machine's Python and packages play every image's role, except where `images` names a
    program. A context manager, which serves from its entering to its leaving::

        with VertexEmulator() as emulator:
            aiplatform.init(
                project=emulator.project, location=emulator.location, credentials=emulator.credentials,
                api_endpoint=emulator.url, api_transport="rest",
            )

    Every call needs credentials, which are made anew at each start: those of `environment` or `credentials`.

    Args:
        port: of 127.0.0.1, for REST, Cloud Storage and Cloud Logging; 0 for a free one. gRPC has a free one of its own.
        folder: for buckets and what jobs leave on this machine; None for one that is removed at the end.
        transport: what `environment` has cloudtune speak; both are served.
        images: programs that stand for images; see `Images`.
        mounts: folders whose files are objects at the start, by ``gs://bucket/prefix``.
        faults: what goes wrong on purpose; None for nothing, but it may be changed in `faults`.
        policy: what is permitted to clients and to the service accounts of jobs; see `Emulator.enforce`. Vertex AI's own
            service agent, which jobs without a service account run as, may do everything.
        project: its id.
        location: clients may use others too.
        grace: seconds that a program has between SIGTERM and SIGKILL.
        seed: of the searches; None for any, as on the service.
        machine_start: seconds that machines take to start for a job, unless a persistent resource has them.
    """

    def __init__(
        self,
        port: int = 0,
        folder: Path | None = None,
        *,
        transport: Literal["grpc", "rest"] = "grpc",
        images: Mapping[str, str | Sequence[str]] = _NONE,
        mounts: Mapping[str, str | Path] = _NONE,
        faults: Faults | None = None,
        policy: Mapping[str, Any] | None = None,
        project: str = "cloudtune-emulator",
        location: str = "us-central1",
        grace: float = 2.0,
        seed: int | None = None,
        machine_start: float = 0.0,
    ) -> None:
        self.project, self.location, self.transport = project, location, transport
        faults = Faults() if faults is None else faults
        super().__init__("vertex", folder, mounts, faults, policy, machine_start)
        self._images, self._grace, self._seed = Images(images), grace, seed
        self._buckets, self._entries = Buckets(self.folder), LogEntries()
        self._tokens = Tokens()
        self._http = HttpServer(port, tokens=self._tokens, faults=self.faults, served=self._count)
        self._jobs: Jobs | None = None
        self._grpc: GrpcServer | None = None

    @staticmethod
    def read_policy(document: Any) -> GooglePolicy:
        return GooglePolicy(document)

    def start(self) -> Self:
        self._furnish()
        storage = StorageApi(
            self._buckets, project=self.project, authority=self.authority, principal=self._tokens.principal
        )
        for prefix in ("/storage/", "/upload/", "/download/"):
            self._http.mount(prefix, storage, lambda request: ("storage", request.method))
        self._http.mount(
            "/v2/", LoggingApi(self._entries, self.authority), lambda request: ("logging", request.path[4:])
        )
        listen(self._http.start)
        self._tokens.write(self._credentials_file, self._http.url)
        self._jobs = Jobs(self._workshop(), self._seed)
        services = JobServices(self._jobs, Studies(self._seed), self.authority)
        for version in (*VERSIONS, UI):
            self._http.mount(f"/{version}/", RestApi(services), called)
        self._grpc = GrpcServer(services, admits=self._tokens.admits, faults=self.faults, served=self._count)
        self._grpc.start()
        return self

    def stop(self) -> None:
        """End all jobs with their processes and threads, and close the ports."""
        if self._grpc is not None:
            self._grpc.stop()
        self._http.stop()
        if self._jobs is not None:
            self._jobs.close()
        self._workplace.close()

    # Where it is

    @property
    def url(self) -> str:
        """The address of REST, Cloud Storage and Cloud Logging, which lets in even a client that brings no credentials."""
        return self._tokens.address(self._http.url)

    @property
    def target(self) -> str:
        """The address of gRPC, ``host:port``; "" before the start."""
        return "" if self._grpc is None else self._grpc.target

    @property
    def parent(self) -> str:
        """The resource that jobs are below."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def bucket(self) -> str:
        """A bucket that is there from the start: the one that the SDK stages in."""
        return f"{self.project}-vertex-staging-{self.location}"

    @property
    def credentials(self) -> Credentials:
        """Credentials of this start, for Google's clients."""
        return Credentials.from_info(self._tokens.of_client(self._http.url))  # type: ignore[no-untyped-call,no-any-return]

    @property
    def _credentials_file(self) -> Path:
        return self.folder / "credentials.json"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which cloudtune, and clients of Cloud Storage, find the emulator and are let in."""
        settings = {
            "endpoint": self._http.url if self.transport == "rest" else f"http://{self.target}",
            "transport": self.transport,
            "logging_endpoint": self._http.url,
            "project": self.project,
            "location": self.location,
            "bucket": self.bucket,
            "image": IMAGE,
            "service_account": "",
            "poll": "0.2",
        }
        return {
            **self._storage,
            **self._default_credentials,
            **settings_of("vertex", **settings),
        }

    @property
    def _default_credentials(self) -> dict[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(self._credentials_file)}

    @property
    def _storage(self) -> dict[str, str]:
        """Variables of Google's own clients; with a host of their own they ask no metadata server for credentials."""
        return {
            "STORAGE_EMULATOR_HOST": self._tokens.storage_host(self._http.url),
            "GOOGLE_CLOUD_PROJECT": self.project,
            "NO_GCE_CHECK": "true",
        }

    # What is there

    @property
    def buckets(self) -> Buckets:
        """Cloud Storage."""
        return self._buckets

    @property
    def jobs(self) -> Jobs:
        """All jobs."""
        assert self._jobs is not None
        return self._jobs

    def wait(self, tuning_job: str, timeout: float | None = None) -> str:
        """Wait for the end of a tuning job, at most so many seconds, and return its state.

        Raises:
            Refused: there is no such job.
        """
        return self.jobs.wait(tuning_job, timeout)

    def preempt(self, custom_job: str) -> None:
        """Take the machines of a custom job away, as happens to spot machines.

        Raises:
            Refused: there is no such job.
        """
        self.jobs.preempt(custom_job)

    # Inside

    def _furnish(self) -> None:
        """Make the bucket and what is mounted."""
        self._buckets.make(self.bucket)
        for uri, folder in self._mounted():
            bucket, _, prefix = uri.removeprefix("gs://").partition("/")
            self._buckets.make(bucket)
            for file in tree_of(folder).files:
                parts = (prefix.strip("/"), file.name)
                self._buckets.put(bucket, "/".join(part for part in parts if part), file.path.read_bytes(), {})

    def _workshop(self) -> Workshop:
        return Workshop(
            buckets=self._buckets,
            entries=self._entries,
            folder=self.folder / "jobs",
            images=self._images,
            grace=self._grace,
            environment={**self._storage, **self._default_credentials},  # what a real job gets of the metadata server
            faults=self.faults,
            authority=self.authority,
            resources=Resources(self.machine_starts),
            scratch=self._workplace.scratch,
        )
