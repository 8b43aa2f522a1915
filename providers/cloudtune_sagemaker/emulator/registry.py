"""All training jobs and tuning jobs of an account and region: made, found, listed, stopped and deleted.

It is a backend of moto, so that a reset of moto empties it too.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.base_backend import BaseBackend

from cloudtune.store.records import Trial
from cloudtune_sagemaker.emulator import answers, errors, rules
from cloudtune_sagemaker.emulator.definitions import check_objective, check_override, completed
from cloudtune_sagemaker.emulator.describing import described, summarized
from cloudtune_sagemaker.emulator.jobs import TERMINAL, TrainingJob, Workshop, take_over
from cloudtune_sagemaker.emulator.listing import listed
from cloudtune_sagemaker.emulator.searching import Search
from cloudtune_sagemaker.emulator.tuned import TunedJob, request_of
from cloudtune_sagemaker.emulator.tuning import HyperParameterTuningJob
from cloudtune_sagemaker.emulator.warm import check_parents

_UNIQUE = (
    "{} job names must be unique within an AWS account and region, and a {} job with this name already exists ({})"
)


class Jobs(BaseBackend):
    """The jobs of one account and region.

    Args:
        region_name: the region.
        account_id: the account.
        workshop: gives what its training jobs run with.
        quotas: machines that may be in use at a time, by instance type; others are not limited.
        closing: takes what ends the jobs when there is a reset, to be done in a thread of its own.
    """

    def __init__(
        self,
        region_name: str,
        account_id: str,
        *,
        workshop: Callable[[str, str], Workshop],
        quotas: Mapping[str, int],
        closing: Callable[[Callable[[], None]], None],
    ) -> None:
        super().__init__(region_name, account_id)
        self.workshop = workshop(account_id, region_name)
        self._quotas = quotas
        self._closing = closing
        self._lock = threading.RLock()
        self._training: dict[str, TrainingJob] = {}
        self._tuning: dict[str, HyperParameterTuningJob] = {}
        self._made = 0

    def reset(self) -> None:
        """Forget all jobs and end them; called by moto, which holds a lock that the jobs may need to end."""
        with self._lock:
            training, tuning = list(self._training.values()), list(self._tuning.values())
            self._training, self._tuning = {}, {}

        def close() -> None:
            for search in tuning:
                search.close()
            for job in [*training, *(trial.job for search in tuning for trial in search.trials)]:
                job.close()

        if training or tuning:
            self._closing(close)

    @property
    def lag(self) -> float:
        """Seconds that answers may be out of date."""
        return self.workshop.faults.slow

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a ``training-job`` or ``hyper-parameter-tuning-job``."""
        return f"arn:{self.partition}:sagemaker:{self.region_name}:{self.account_id}:{kind}/{name}"

    # Training jobs

    def create_training_job(self, request: Mapping[str, Any]) -> TrainingJob:
        """Make and start a training job.

        Raises:
            SagemakerClientError: the request is not valid, its name is taken, or a quota is used up.
        """
        rules.check(request, "CreateTrainingJob")
        if "AlgorithmSpecification" in request:
            check_override(request["AlgorithmSpecification"])
            request = {**request, "AlgorithmSpecification": completed(request["AlgorithmSpecification"])}
        with self._lock:
            self._check_quota(request.get("ResourceConfig") or {}, 1)
            job = self._add(
                TrainingJob(request, arn=self.arn("training-job", request["TrainingJobName"]), workshop=self.workshop)
            )
        job.start()
        return job

    def _add(self, job: TrainingJob) -> TrainingJob:
        with self._lock:
            if job.name in self._training:
                raise errors.in_use(_UNIQUE.format("Training", "training", job.arn))
            take_over(job, list(self._training.values()))
            self._training[job.name] = job
        return job

    def training_job(self, name: str) -> TrainingJob:
        """Return a training job by its name.

        Raises:
            SagemakerClientError: there is none. It is a ValidationException, though botocore's model knows
                ResourceNotFound (https://github.com/aws/aws-sdk/issues/165).
        """
        try:
            return self._training[name]
        except KeyError:
            raise errors.invalid("Requested resource not found.") from None

    def delete_training_job(self, name: str) -> None:
        """Forget a training job that has ended.

        Raises:
            SagemakerClientError: there is none, or it has not ended.
        """
        job = self.training_job(name)
        if job.state().status not in TERMINAL:
            raise errors.in_use(f"The training job {job.arn} is in status {job.state().status}; stop it first.")
        with self._lock:
            self._training.pop(name, None)

    def list_training_jobs(self, request: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str | None]:
        """Return a page of the training jobs, and the token for the next one."""
        return listed(
            [answers.summarized(job, self.lag) for job in list(self._training.values())],
            request,
            name="TrainingJobName",
            status="TrainingJobStatus",
            status_last=True,
            keys={
                "CreationTime": lambda row: row["CreationTime"],
                "Name": lambda row: row["TrainingJobName"],
                "Status": lambda row: row["TrainingJobStatus"],
            },
        )

    # Tuning jobs

    def create_tuning_job(self, request: Mapping[str, Any]) -> HyperParameterTuningJob:
        """Make and start a tuning job.

        Raises:
            SagemakerClientError: the request is not valid, its name is taken, a parent cannot be used, or a quota is
                used up.
        """
        rules.check(request, "CreateHyperParameterTuningJob")
        name = request["HyperParameterTuningJobName"]
        search = Search(request)
        for definition in search.definitions:
            if definition.named:
                check_objective(definition.request["AlgorithmSpecification"], definition.metric)
        with self._lock:
            arn = self.arn("hyper-parameter-tuning-job", name)
            if name in self._tuning:
                raise errors.in_use(_UNIQUE.format("Hyper parameter tuning", "hyper parameter tuning", arn))
            parents = check_parents(search, self._tuning)
            for definition in search.definitions:
                parallel = request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"]
                self._check_quota(request_of(definition, name, {})["ResourceConfig"], parallel)
            self._made += 1
            mark = f"{arn}/{self._made}"
            job = self._tuning[name] = HyperParameterTuningJob(
                request,
                arn=arn,
                search=search,
                parents=parents,
                folder=self.workshop.folder / f"{name}-{self._made}",
                name_of=lambda number: _trial_name(name, mark, number),
                create=self._trial,
            )
        job.start()
        return job

    def _trial(self, tuning: HyperParameterTuningJob, trial: Trial) -> TunedJob:
        definition, tuned = tuning.search.chosen(trial.parameters), tuning.search.tuned(trial.parameters)
        request = {**request_of(definition, trial.place, tuned), "Tags": tuning.tags}
        job = TrainingJob(
            request,
            arn=self.arn("training-job", trial.place),
            workshop=self.workshop,
            tuning_arn=tuning.arn,
            follower=tuning,
        )
        return TunedJob(self._add(job), definition, tuned, tuning.name)

    def tuning_job(self, name: str) -> HyperParameterTuningJob:
        """Return a tuning job by its name.

        Raises:
            SagemakerClientError: there is none.
        """
        try:
            return self._tuning[name]
        except KeyError:
            arn = self.arn("hyper-parameter-tuning-job", name)
            raise errors.not_found(f"Amazon SageMaker can't find a tuning job with ARN {arn}") from None

    def delete_tuning_job(self, name: str) -> None:
        """Forget a tuning job that has ended; its training jobs stay.

        Raises:
            SagemakerClientError: there is none, or it has not ended.
        """
        job = self.tuning_job(name)
        if job.state().status not in TERMINAL:  # so Terraform's aws_sagemaker_hyper_parameter_tuning_job finds it out
            raise errors.invalid(
                f"The hyperparameter tuning job {job.arn} is in status {job.state().status}, which is not in a terminal "
                "state; stop it first."
            )
        with self._lock:
            self._tuning.pop(name, None)

    def list_tuning_jobs(self, request: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str | None]:
        """Return a page of the tuning jobs, and the token for the next one."""
        return listed(
            [summarized(job, self.lag) for job in list(self._tuning.values())],
            request,
            name="HyperParameterTuningJobName",
            status="HyperParameterTuningJobStatus",
            keys={
                "Name": lambda row: row["HyperParameterTuningJobName"],
                "Status": lambda row: row["HyperParameterTuningJobStatus"],
                "CreationTime": lambda row: row["CreationTime"],
            },
        )

    def list_trials(self, request: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str | None]:
        """Return a page of the training jobs of a tuning job, and the token for the next one.

        Sorted by FinalObjectiveMetricValue, "any training jobs that did not return an objective metric are not listed".

        Raises:
            SagemakerClientError: there is no such tuning job.
        """
        job = self.tuning_job(request["HyperParameterTuningJobName"])
        return listed(
            [trial.summary(self.lag) for trial in list(job.trials)],
            request,
            name="TrainingJobName",
            status="TrainingJobStatus",
            keys={
                "Name": lambda row: row["TrainingJobName"],
                "CreationTime": lambda row: row["CreationTime"],
                "Status": lambda row: row["TrainingJobStatus"],
                "FinalObjectiveMetricValue": lambda row: row.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get(
                    "Value"
                ),
            },
        )

    # What both have

    def records(self, resource: str) -> list[dict[str, Any]] | None:
        """Return all jobs of a kind as Search tells them; None for a kind that is not ours."""
        if resource == "TrainingJob":
            return [{**answers.described(job, self.lag), "Tags": job.tags} for job in list(self._training.values())]
        if resource == "HyperParameterTuningJob":
            return [{**described(job, self.lag), "Tags": job.tags} for job in list(self._tuning.values())]
        return None

    def by_arn(self, arn: str) -> TrainingJob | HyperParameterTuningJob | None:
        """Return the job with an ARN; None for something else's, which moto may know.

        Raises:
            SagemakerClientError: it is a job's, but there is no such job.
        """
        if arn.count(":") < 5 or arn.split(":")[2] != "sagemaker":  # botocore asks for 256 characters, no more
            raise errors.invalid(f"The ARN {arn!r} is none of a resource of SageMaker.")
        kind, _, name = arn.rpartition(":")[2].partition("/")
        if kind == "training-job":
            return self.training_job(name)
        return self.tuning_job(name) if kind == "hyper-parameter-tuning-job" else None

    def _check_quota(self, resources: Mapping[str, Any], jobs: int) -> None:
        for kind, count in _machines(resources).items():
            quota = self._quotas.get(kind)
            used = sum(
                _machines(job.request.get("ResourceConfig") or {}).get(kind, 0)
                for job in self._training.values()
                if job.state().status not in TERMINAL
            )
            if quota is not None and used + jobs * count > quota:
                raise errors.over_limit(
                    f"The account-level service limit '{kind} for training job usage' is {quota} Instances, with current "
                    f"utilization of {used} Instances and a request delta of {jobs * count} Instances. Please use AWS "
                    "Service Quotas to request an increase for this quota."
                )


def _trial_name(tuning_job: str, mark: str, number: int) -> str:
    return f"{tuning_job}-{number + 1:03d}-{hashlib.sha256(f'{mark}/{number}'.encode()).hexdigest()[:8]}"


def _machines(resources: Mapping[str, Any]) -> dict[str, int]:
    """Return how many machines of each type a ResourceConfig asks for."""
    found: dict[str, int] = {}
    for group in resources.get("InstanceGroups") or [resources]:
        if "InstanceType" in group:
            found[group["InstanceType"]] = found.get(group["InstanceType"], 0) + int(group.get("InstanceCount", 1))
    return found
