"""SageMaker on this machine: moto, with training jobs and tuning jobs that really run."""

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.utilities.utils import get_partition

from cloudtune.bundle.tree import tree_of
from cloudtune.emulation.access import new_secret, same
from cloudtune.emulation.emulator import Emulator, listen, settings_of
from cloudtune.emulation.images import Images
from cloudtune_sagemaker.emulator.api import operations_on
from cloudtune_sagemaker.emulator.cloud import Cloud, split_uri
from cloudtune_sagemaker.emulator.cloudwatch import LogsOperations
from cloudtune_sagemaker.emulator.faults import Faults
from cloudtune_sagemaker.emulator.http import Server
from cloudtune_sagemaker.emulator.identity import IamOperations, given_out
from cloudtune_sagemaker.emulator.jobs import Workshop
from cloudtune_sagemaker.emulator.policies import IamPolicy
from cloudtune_sagemaker.emulator.principals import Principals
from cloudtune_sagemaker.emulator.registry import Jobs
from cloudtune_sagemaker.emulator.routes import Operations, application, routed
from cloudtune_sagemaker.emulator.s3 import S3Operations
from cloudtune_sagemaker.emulator.sessions import Sessions, token_operations
from cloudtune_sagemaker.emulator.sharing import sharing
from cloudtune_sagemaker.emulator.signatures import Key

_NONE: Mapping[str, Any] = MappingProxyType({})
_SERVICES = ("SAGEMAKER", "S3", "CLOUDWATCH_LOGS", "STS", "IAM", "SERVICE_QUOTAS", "ECR", "SAGEMAKER_METRICS")
"""Services of which a variable AWS_ENDPOINT_URL_… would lead away from the emulator."""

_TRUST = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"""


_SDK_CONFIG = """SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      Session:
        DefaultS3Bucket: {bucket}
"""
"""Defaults of SageMaker's SDK: to make up a bucket's name it asks the real STS, whatever the endpoints are."""

IMAGE = "emulated:python"
"""The image of cloudtune's jobs that name none: the Python that runs the emulator takes the place of every image."""


class SageMakerEmulator(Emulator[Faults]):
    """SageMaker, S3, CloudWatch Logs, IAM and the rest of moto on this machine; training jobs run as processes here.

    There is no Docker: this machine's Python and packages play every image's role, except where `images` names a
    program. As a context manager it serves from its entering to its leaving::

        with SageMakerEmulator() as emulator:
            sagemaker = boto3.client("sagemaker", **emulator.of_client)

    Within one process it works under ``moto.mock_aws`` too, without a server::

        with mock_aws(), SageMakerEmulator().installed() as emulator:
            sagemaker = boto3.client("sagemaker")

    Moto keeps S3 and the like once a process: two emulators in one process share them, but not their jobs.

    Args:
        port: of 127.0.0.1; 0 for a free one.
        folder: for what training jobs leave on this machine; None for one that is removed at the end.
        images: programs that stand for images; see `Images`.
        mounts: folders whose files are objects at the start, by ``s3://bucket/prefix``.
        faults: what goes wrong on purpose; None for nothing, but it may be changed in `faults`.
        policy: what is permitted to clients of the server and to the role of jobs; see `Emulator.enforce`. Keys of
            further users and roles count as the role's.
        account: twelve digits.
        region: e.g. ``us-east-1``; clients may use others too, but `bucket` and `mounts` are there.
        grace: seconds that a program has between SIGTERM and SIGKILL; the service gives 120.
        quotas: machines that may be in use at a time, by instance type; others are not limited.
        machine_start: seconds that machines take to start for a job, unless a warm pool has them.
    """

    def __init__(
        self,
        port: int = 0,
        folder: Path | None = None,
        *,
        images: Mapping[str, str | Sequence[str]] = _NONE,
        mounts: Mapping[str, str | Path] = _NONE,
        faults: Faults | None = None,
        policy: Mapping[str, Any] | None = None,
        account: str = "123456789012",
        region: str = "us-east-1",
        grace: float = 2.0,
        quotas: Mapping[str, int] = _NONE,
        machine_start: float = 0.0,
    ) -> None:
        self.account, self.region = account, region
        faults = Faults() if faults is None else faults
        super().__init__("sagemaker", folder, mounts, faults, policy, machine_start)
        self._images, self._grace = Images(images), grace
        self._key_id, self._secret = _new_keys()
        self._role_key_id, self._role_secret = _new_keys()
        self._closing: list[threading.Thread] = []
        jobs: Any = partial(Jobs, workshop=self._workshop, quotas=quotas, closing=self._close_soon)
        self._backends: BackendDict[Jobs] = BackendDict(jobs, "sagemaker")
        self._operations: Operations = {
            "sagemaker": operations_on(self._backends, self._count),
            "iam": IamOperations,
            "logs": LogsOperations,
        }
        self._sessions = Sessions()
        self._principals = Principals(self.authority, account, region, self.role, self._is_roles)
        of_server: Operations = {"s3": S3Operations, "sts": token_operations(self._sessions)}
        self._server = Server(
            port,
            account=account,
            keys=self._key,
            principals=self._principals,
            faults=self.faults,
            served=self._count,
            create=lambda service: application(service, {**self._operations, **of_server}),
        )
        self._serving = False

    # As a server

    @staticmethod
    def read_policy(document: Any) -> IamPolicy:
        return IamPolicy(document)

    def start(self) -> Self:
        listen(self._server.start)
        self._serving = True
        sharing.enter(self)
        try:
            self._furnish()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all jobs with their processes and threads, and close the port; moto forgets what it held for it."""
        self._server.stop()
        self._serving = False
        self._end_jobs()
        sharing.leave(self)

    @property
    def url(self) -> str:
        """The address of the server, for every service."""
        return self._server.url

    @property
    def of_client(self) -> dict[str, str]:
        """Arguments of ``boto3.client`` that lead here: address, region, and the keys of this start."""
        return {
            "endpoint_url": self.url,
            "region_name": self.region,
            "aws_access_key_id": self._key_id,
            "aws_secret_access_key": self._secret,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which cloudtune and any other client of AWS find the emulator, and nothing else."""
        settings = {
            **({"endpoint": self.url} if self._serving else {}),
            "region": self.region,
            "role": self.role,
            "bucket": self.bucket,
            "image": IMAGE,
            "profile": "",
            "poll": "0.2",
        }
        return {**self._aws, **settings_of("sagemaker", **settings)}

    @property
    def _aws(self) -> dict[str, str]:
        """Variables of AWS; under mock_aws those that need no server."""
        place = self._place
        common = {
            "AWS_ACCESS_KEY_ID": self._key_id,
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "AWS_SESSION_TOKEN": "",  # none, whatever the user's own environment has
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if not self._serving:
            return common
        endpoints = {f"AWS_ENDPOINT_URL_{service}": self.url for service in _SERVICES}
        return {
            **common,
            "AWS_ENDPOINT_URL": self.url,
            **endpoints,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_PROFILE": "default",
            "AWS_CONFIG_FILE": str(place / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(place / "aws-credentials"),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(place / "sagemaker.yaml"),
        }

    # Under mock_aws

    @contextlib.contextmanager
    def installed(self) -> Iterator[Self]:
        """Make boto3 under ``moto.mock_aws`` use the emulator's jobs, without a server, while the context lasts."""
        with routed(self._operations):
            try:
                self._furnish()
                yield self
            finally:
                self._end_jobs()

    # What is there

    @property
    def bucket(self) -> str:
        """A bucket that is there from the start: SageMaker's default one of the account and region."""
        return f"sagemaker-{self.region}-{self.account}"

    @property
    def role(self) -> str:
        """The ARN of a role that is there from the start, for SageMaker to assume."""
        return f"arn:{get_partition(self.region)}:iam::{self.account}:role/cloudtune-emulator"

    @property
    def jobs(self) -> Jobs:
        """The training jobs and tuning jobs of the account and region."""
        return self._backends[self.account][self.region]

    def wait(self, tuning_job: str, timeout: float | None = None) -> str:
        """Wait for the end of a tuning job, at most so many seconds, and return its status.

        Raises:
            SagemakerClientError: there is no such job (an exception of moto).
        """
        job = self.jobs.tuning_job(tuning_job)
        job.join(timeout)
        return job.state().status

    def interrupt(self, training_job: str) -> None:
        """Take the machines of a spot training job away, as SageMaker does when the capacity is needed.

        Raises:
            SagemakerClientError: there is no such job, or it is not on spot machines (an exception of moto).
        """
        self.jobs.training_job(training_job).interrupt()

    # Inside

    def _furnish(self) -> None:
        """Make the role, the bucket and what is mounted."""
        iam = get_backend("iam")[self.account][get_partition(self.region)]
        if not any(role.name == "cloudtune-emulator" for role in iam.roles.values()):
            iam.create_role(
                role_name="cloudtune-emulator",
                assume_role_policy_document=_TRUST,
                path="/",
                permissions_boundary=None,
                description="",
                tags=[],
                max_session_duration=None,
            )
        self._make_bucket(self.bucket)
        cloud = Cloud(self.account, self.region)
        for uri, folder in self._mounted():
            bucket, prefix = split_uri(uri)
            self._make_bucket(bucket)
            for file in tree_of(folder).files:
                key = "/".join(part for part in (prefix.strip("/"), file.name) if part)
                cloud.upload(file.path, bucket, key)

    def _make_bucket(self, name: str) -> None:
        s3 = get_backend("s3")[self.account][get_partition(self.region)]
        if name not in s3.buckets:
            s3.create_bucket(name, self.region)

    @property
    def _place(self) -> Path:
        """The folder, with the files that AWS's clients read in the place of the user's."""
        folder = self._workplace.folder
        if not (folder / "aws-config").exists():
            (folder / "aws-config").write_text(f"[default]\nregion = {self.region}\n")
            (folder / "aws-credentials").write_text("")
            (folder / "sagemaker.yaml").write_text(_SDK_CONFIG.format(bucket=self.bucket))
        return folder

    def _workshop(self, account: str, region: str) -> Workshop:
        return Workshop(
            cloud=Cloud(account, region, self._principals.role_denial),
            folder=self._place / "jobs" / account / region,
            keep=self._workplace.stays,
            images=self._images,
            grace=self._grace,
            environment={**self._aws, **self._of_role, "AWS_DEFAULT_REGION": region, "AWS_REGION": region},
            faults=self.faults,
            machine_starts=self.machine_starts,
            scratch=self._workplace.scratch,
        )

    def _key(self, name: str) -> Key | None:
        """Return the keys with an access key id: the emulator's own, its role's, or some that its user had made."""
        for own, secret in ((self._key_id, self._secret), (self._role_key_id, self._role_secret)):
            if same(name, own):
                return Key(secret)
        return self._sessions.key(name) or given_out(self.account, self.region, name)

    def _is_roles(self, name: str) -> bool:
        """Return whether an access key id is not the caller's own, or one of a session of it."""
        return not same(self._sessions.owner(name), self._key_id)

    @property
    def _of_role(self) -> dict[str, str]:
        """Variables by which the program of a job has the role's keys."""
        return {"AWS_ACCESS_KEY_ID": self._role_key_id, "AWS_SECRET_ACCESS_KEY": self._role_secret}

    def _close_soon(self, close: Callable[[], None]) -> None:
        thread = threading.Thread(target=close, name="emulator closing", daemon=True)
        self._closing.append(thread)
        thread.start()

    def _end_jobs(self) -> None:
        for _, _, jobs in list(self._backends.iter_backends()):
            jobs.reset()
        self._backends.clear()
        with contextlib.suppress(ValueError):  # moto has forgotten it already
            BackendDict._instances.remove(self._backends)  # type: ignore[misc]  # noqa: SLF001
        while self._closing:
            self._closing.pop().join()
        self._workplace.close()


def _new_keys() -> tuple[str, str]:
    """Return an access key id and its secret."""
    return f"AKIA{secrets.token_hex(8).upper()}", new_secret()
