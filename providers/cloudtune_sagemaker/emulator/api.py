"""SageMaker's operations on training jobs and tuning jobs, in the place of moto's; the rest of SageMaker is moto's."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from moto.core.common_types import TYPE_RESPONSE
from moto.core.request import Request
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import camelcase_to_underscores
from moto.sagemaker.responses import SageMakerResponse

from cloudtune_sagemaker.emulator import answers, errors, rules
from cloudtune_sagemaker.emulator.describing import described
from cloudtune_sagemaker.emulator.registry import Jobs
from cloudtune_sagemaker.emulator.searches import searched

if TYPE_CHECKING:
    from moto.core.base_backend import BackendDict


_log = logging.getLogger(__name__)


class SageMakerOperations(SageMakerResponse):
    """Answers requests; each emulator has a subclass of its own that knows its jobs."""

    backends: ClassVar["BackendDict[Jobs]"]
    """The jobs by account and region."""

    served: ClassVar[Callable[[str], None]]
    """Called with every operation that came in otherwise than through the emulator's own server."""

    # How moto calls

    def parse_parameters(self, request: Request) -> None:
        """Read the request by botocore's model; `call_action` answers for a value of the wrong type."""
        self._unreadable = ""
        try:
            super().parse_parameters(request)
        except (TypeError, ValueError, AttributeError) as error:
            self.params: Any = {}
            self._unreadable = str(error)

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the request that has been read."""
        operation = self._get_action()
        if not self.normalized_request.from_wsgi_server:
            type(self).served(operation)
        if self._unreadable:
            return _plainly(400, "SerializationException", self._unreadable)
        try:
            return super().call_action()
        except NotImplementedError:
            return _plainly(400, "UnknownOperationException", f"the emulator does not know {operation}")
        except RecursionError:
            return _plainly(400, "SerializationException", "the request is nested too deeply")
        except Exception as error:  # noqa: BLE001  # whatever goes wrong, a client gets an answer that it can read
            if not self._is_ours():
                message = f"the emulator, which has moto's {operation}, cannot do this: {type(error).__name__}: {error}"
                return _plainly(400, "ValidationException", message)
            _log.exception("%s failed in the emulator", operation)
            return _plainly(500, "InternalFailure", f"the emulator failed: {type(error).__name__}: {error}")

    def _is_ours(self) -> bool:
        """Return whether the operation is one of ours, and not what moto makes of it."""
        return camelcase_to_underscores(self._get_action()) in SageMakerOperations.__dict__

    @property
    def jobs(self) -> Jobs:
        """The jobs of the caller's account and region."""
        return self.backends[self.current_account][self.region]

    @property
    def request(self) -> Mapping[str, Any]:
        """The members of the request, as they came."""
        members: Mapping[str, Any] = json.loads(self.body or "{}")
        return members

    def _checked(self) -> Mapping[str, Any]:
        request = self.request
        rules.check(request, self._get_action())
        return request

    # Training jobs

    def create_training_job(self) -> ActionResult:
        """CreateTrainingJob: runs it."""
        return ActionResult({"TrainingJobArn": self.jobs.create_training_job(self.request).arn})

    def describe_training_job(self) -> ActionResult:
        """DescribeTrainingJob."""
        return ActionResult(
            answers.described(self.jobs.training_job(self._checked()["TrainingJobName"]), self.jobs.lag)
        )

    def list_training_jobs(self) -> ActionResult:
        """ListTrainingJobs."""
        return _page("TrainingJobSummaries", *self.jobs.list_training_jobs(self._checked()))

    def stop_training_job(self) -> ActionResult:
        """StopTrainingJob."""
        self.jobs.training_job(self._checked()["TrainingJobName"]).stop()
        return EmptyResult()

    def update_training_job(self) -> ActionResult:
        """UpdateTrainingJob: notes the new members; nothing that runs here depends on them."""
        request = self._checked()
        job = self.jobs.training_job(request["TrainingJobName"])
        job.update(request)
        return ActionResult({"TrainingJobArn": job.arn})

    def delete_training_job(self) -> ActionResult:
        """DeleteTrainingJob."""
        self.jobs.delete_training_job(self._checked()["TrainingJobName"])
        return EmptyResult()

    # Tuning jobs

    def create_hyper_parameter_tuning_job(self) -> ActionResult:
        """CreateHyperParameterTuningJob: tunes."""
        return ActionResult({"HyperParameterTuningJobArn": self.jobs.create_tuning_job(self.request).arn})

    def describe_hyper_parameter_tuning_job(self) -> ActionResult:
        """DescribeHyperParameterTuningJob."""
        job = self.jobs.tuning_job(self._checked()["HyperParameterTuningJobName"])
        return ActionResult(described(job, self.jobs.lag))

    def list_hyper_parameter_tuning_jobs(self) -> ActionResult:
        """ListHyperParameterTuningJobs."""
        return _page("HyperParameterTuningJobSummaries", *self.jobs.list_tuning_jobs(self._checked()))

    def list_training_jobs_for_hyper_parameter_tuning_job(self) -> ActionResult:
        """ListTrainingJobsForHyperParameterTuningJob."""
        return _page("TrainingJobSummaries", *self.jobs.list_trials(self._checked()))

    def stop_hyper_parameter_tuning_job(self) -> ActionResult:
        """StopHyperParameterTuningJob."""
        self.jobs.tuning_job(self._checked()["HyperParameterTuningJobName"]).stop()
        return EmptyResult()

    def delete_hyper_parameter_tuning_job(self) -> ActionResult:
        """DeleteHyperParameterTuningJob."""
        self.jobs.delete_tuning_job(self._checked()["HyperParameterTuningJobName"])
        return EmptyResult()

    # Both

    def search(self) -> ActionResult:
        """Search over training jobs and tuning jobs; other resources are moto's."""
        request = self._checked()
        found = self.jobs.records(request["Resource"])
        return (
            _known_to_moto(super().search)
            if found is None
            else ActionResult(searched(found, request, request["Resource"]))
        )

    # Tags

    def add_tags(self) -> ActionResult:
        """AddTags."""
        request = self.request
        job = self.jobs.by_arn(request.get("ResourceArn", ""))
        if job is None:
            return _known_to_moto(super().add_tags)
        rules.check(request, "AddTags")
        new = {tag["Key"]: tag for tag in request["Tags"]}
        job.tags = [*({tag["Key"]: tag for tag in job.tags} | new).values()]
        return ActionResult({"Tags": job.tags})

    def list_tags(self) -> ActionResult:
        """ListTags."""
        job = self.jobs.by_arn(self.request.get("ResourceArn", ""))
        return _known_to_moto(super().list_tags) if job is None else ActionResult({"Tags": job.tags})

    def delete_tags(self) -> ActionResult:
        """DeleteTags."""
        request = self.request
        job = self.jobs.by_arn(request.get("ResourceArn", ""))
        if job is None:
            return _known_to_moto(super().delete_tags)
        rules.check(request, "DeleteTags")
        job.tags = [tag for tag in job.tags if tag["Key"] not in request["TagKeys"]]
        return EmptyResult()


def _known_to_moto(call: Callable[[], ActionResult]) -> ActionResult:
    """Return what moto answers; for a resource that it does not have it stumbles, and the service would find none."""
    try:
        return call()
    except (AttributeError, KeyError, TypeError, ValueError):
        raise errors.invalid("Requested resource not found.") from None


def _plainly(status: int, code: str, message: str) -> TYPE_RESPONSE:
    """Return an error that the service's model does not have, so that moto cannot put it into words."""
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": code, "message": message})


def _page(member: str, rows: list[Mapping[str, Any]], token: str | None) -> ActionResult:
    return ActionResult({member: rows, **({} if token is None else {"NextToken": token})})


def operations_on(backends: "BackendDict[Jobs]", served: Callable[[str], None]) -> type[SageMakerOperations]:
    """Return the operations of one emulator.

    Args:
        backends: its jobs by account and region.
        served: called with every operation that came in otherwise than through the emulator's own server.
    """
    members = {"backends": backends, "served": staticmethod(served)}
    return type("SageMakerOperationsOfEmulator", (SageMakerOperations,), members)
