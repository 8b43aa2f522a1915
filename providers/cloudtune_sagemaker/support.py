"""What SageMaker does with each field of a job, and which fields only cloudtune's own driver can do there."""

from collections.abc import Mapping

from cloudtune.plan import Support

_ELSEWHERE = Support.APPROXIMATE
_TYPE_DECIDES = "the instance type decides; choose one that has it (compute.instance)"

SUPPORT: Mapping[str, tuple[Support, str]] = {
    "name": (Support.ENCODED, "names there are of letters, digits and dashes, 32 at most, with a mark of the run's id"),
    "trial.source": (Support.EXACT, ""),
    "trial.ignore": (Support.EXACT, ""),
    "trial.command": (Support.ENCODED, "started by SageMaker's training toolkit, which the image must hold, or by an entrypoint python /opt/ml/input/data/cloudtune/trial.py; driven runs start in any image with Python"),
    "trial.command.native": (Support.APPROXIMATE, "the training toolkit starts what the native sagemaker_program names; the command is for other providers"),
    "trial.function": (Support.ENCODED, "called by the trial helper, started as a command is"),
    "trial.image": (Support.EXACT, ""),
    "trial.image.elsewhere": (Support.UNCHECKED, "from another registry than Amazon ECR: SageMaker takes it only in a VPC with a TrainingImageConfig"),
    "trial.environment": (Support.EXACT, ""),
    "objective": (Support.EXACT, ""),
    "objective.several": (Support.DRIVEN, "SageMaker's tuner has one objective: cloudtune's driver asks, with a training job a trial"),
    "objective.measurement": (Support.DRIVEN, "SageMaker's tuner takes the last value: cloudtune's driver asks, with a training job a trial"),
    "metrics": (Support.EXACT, ""),
    "space": (Support.EXACT, ""),
    "space.driven": (Support.DRIVEN, "the program reads what the service sends, which cannot say this: cloudtune's driver asks, with a training job a trial"),
    "strategy": (Support.EXACT, ""),
    "strategy.driven": (Support.DRIVEN, "SageMaker's tuner has no such strategy, or not this setting of it: cloudtune's driver asks, with a training job a trial"),
    "strategy.seed.bayesian": (Support.APPROXIMATE, "SageMaker's Bayesian search draws alike with the same seed, not the same; mode: driven repeats a run"),
    "strategy.hyperband.eta": (Support.APPROXIMATE, "SageMaker's Hyperband chooses it itself"),
    "stopping": (Support.DRIVEN, "SageMaker's tuner has no such rule: cloudtune's driver asks, with a training job a trial"),
    "stopping.auto": (Support.EXACT, ""),
    "stopping.median": (Support.APPROXIMATE, "SageMaker stops by the median of running averages from when it sees fit: grace and interval are its own"),
    "limits": (Support.EXACT, ""),
    "limits.failed": (Support.WATCHED, "SageMaker has no such limit: whoever follows the run stops it"),
    "limits.time": (Support.WATCHED, "SageMaker takes 2 minutes to 182 days: whoever follows the run stops it"),
    "limits.no_improvement": (Support.WATCHED, "SageMaker takes 3 and more: whoever follows the run stops it"),
    "retries": (Support.DRIVEN, "SageMaker's tuner tries again after errors of its own alone: cloudtune's driver asks, with a training job a trial"),
    "warm_start": (Support.EXACT, ""),
    "warm_start.table": (Support.DRIVEN, "SageMaker learns from its own jobs alone: cloudtune's driver asks, with a training job a trial"),
    "mode": (Support.EXACT, ""),
    "strict": (Support.EXACT, ""),
    "compute.instance": (Support.EXACT, ""),
    "compute.instance.unknown": (Support.UNCHECKED, "of a form that SageMaker's have, but not among those that botocore knows"),
    "compute.count": (Support.EXACT, ""),
    "compute.accelerators": (Support.APPROXIMATE, _TYPE_DECIDES),
    "compute.cpus": (Support.APPROXIMATE, _TYPE_DECIDES),
    "compute.memory": (Support.APPROXIMATE, _TYPE_DECIDES),
    "compute.disk": (Support.EXACT, ""),
    "compute.spot": (Support.EXACT, ""),
    "compute.max_wait": (Support.EXACT, ""),
    "data": (Support.EXACT, ""),
    "data.remote": (Support.UNSUPPORTED, "SageMaker reads s3:// and what is uploaded from here; give one under the key sagemaker: {sagemaker: s3://…, …}"),
    "output": (Support.EXACT, ""),
    "output.remote": (Support.UNSUPPORTED, "SageMaker writes to s3://; give such a place under the key sagemaker: {sagemaker: s3://…, …}"),
    "network": (Support.EXACT, ""),
    "network.name": (Support.APPROXIMATE, "SageMaker's machines stand where their subnets are; give network.subnets and security_groups"),
    "identity": (Support.EXACT, ""),
    "encryption": (Support.EXACT, ""),
    "tags": (Support.EXACT, ""),
    "sagemaker": (Support.EXACT, ""),
    "sagemaker.unheeded": (Support.APPROXIMATE, "what a tuning job takes and does not heed is named, such as KeepAlivePeriodInSeconds"),
    "native": (_ELSEWHERE, "settings of another provider: of no effect here"),
}  # fmt: skip
"""A path, or a field and one of its ways, → support and a remark."""
