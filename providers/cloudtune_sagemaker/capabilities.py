"""What SageMaker does with each field of a job, and whether its own tuner can do a job or only cloudtune's driver."""

from collections.abc import Iterator, Mapping

from cloudtune.planning.mode import Reason
from cloudtune.planning.plan import Support
from cloudtune.space.parameters import Categorical, Float, Int, LogNormal, Normal, Ordinal, Parameter
from cloudtune.spec.job import TuningJob, pick
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Grid, Hyperband, Random
from cloudtune_sagemaker.algorithms import algorithm_of_image
from cloudtune_sagemaker.rules import MAX_JOBS, MAX_VALUES
from cloudtune_sagemaker.space import DEFINITION, Branch, defines_metrics, helped, too_many

_ELSEWHERE = Support.APPROXIMATE
_TYPE_DECIDES = "the instance type decides; choose one that has it (compute.instance)"

SUPPORT: Mapping[str, tuple[Support, str]] = {
    "name": (Support.ENCODED, "names there are of letters, digits and dashes, 32 at most, with a mark of the run's id"),
    "trial.source": (Support.EXACT, ""),
    "trial.source.native": (Support.APPROXIMATE, "the image's own program starts, so no code travels: of no effect here"),
    "trial.ignore": (Support.EXACT, ""),
    "trial.command": (Support.ENCODED, "started by SageMaker's training toolkit, which the image must hold, or by an entrypoint python /opt/ml/input/data/cloudtune/trial.py; driven runs start in any image with Python"),
    "trial.command.native": (Support.APPROXIMATE, "the training toolkit starts what the native sagemaker_program names; the command is for other providers"),
    "trial.function": (Support.ENCODED, "called by the trial helper, started as a command is"),
    "trial.image": (Support.EXACT, ""),
    "trial.image.elsewhere": (Support.UNCHECKED, "from another registry than Amazon ECR: SageMaker takes it only in a VPC with a TrainingImageConfig"),
    "trial.image.algorithm": (Support.DRIVEN, "SageMaker's tuner takes the metrics of its own algorithm's image alone, not those of your program: cloudtune's driver asks, with a training job a trial"),
    "trial.environment": (Support.EXACT, ""),
    "objective.metric.long": (Support.APPROXIMATE, "a regex of the service has no room for a name of this length in capitals and small letters: it is found as it is written here"),
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
    "limits.cost": (Support.WATCHED, "SageMaker has no such limit: whoever follows the run stops it"),
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
    "compute.keep": (Support.EXACT, ""),
    "compute.keep.managed": (Support.APPROXIMATE, "SageMaker keeps no machines for a tuning job: of no effect; mode: driven keeps them from trial to trial"),
    "compute.keep.spot": (Support.APPROXIMATE, "SageMaker keeps no spot machines: of no effect"),
    "compute.keep.longest": (Support.APPROXIMATE, "SageMaker keeps machines for an hour at most: 3600 seconds"),
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


def reasons(job: TuningJob, branches: list[Branch]) -> Iterator[Reason]:
    """What in a job SageMaker's tuner cannot do."""
    if len(job.objective) > 1:
        yield "objective", "objective.several"
    for index, objective in enumerate(job.objective):
        if objective.measurement == "best":
            yield f"objective[{index}].measurement", "objective.measurement"
    yield from _of_strategy(job, branches)
    if job.stopping is not None and not isinstance(job.stopping, Auto | Median):
        yield "stopping", "stopping"
    if job.retries:
        yield "retries", "retries"
    if job.warm_start is not None and job.warm_start.table is not None:
        yield "warm_start.table", "warm_start.table"
    if helped(job) and _brings_metrics(job):
        yield "trial.image", "trial.image.algorithm"
    if not helped(job) and len(branches) == 1 and f"{DEFINITION}s" not in job.native_settings("sagemaker"):
        yield from _of_plain_space(job)


def _brings_metrics(job: TuningJob) -> bool:
    """Return whether a job's image is an algorithm of SageMaker's own, whose metrics the tuner takes alone."""
    image = pick(job.trial.image, "sagemaker")
    algorithm = None if image is None else algorithm_of_image(image)
    return algorithm is not None and algorithm.own and not defines_metrics(job)


def _of_strategy(job: TuningJob, branches: list[Branch]) -> Iterator[Reason]:
    strategy = job.strategy
    if not isinstance(strategy, Grid | Random | Bayesian | Hyperband):
        yield "strategy", "strategy.driven"
    elif isinstance(strategy, Bayesian) and strategy.startup is not None:
        yield "strategy.startup", "strategy.driven"
    elif isinstance(strategy, Hyperband) and strategy.searcher != "random":
        yield "strategy.searcher", "strategy.driven"
    elif isinstance(strategy, Grid) and not _fits_grid(job, branches):
        yield "strategy", "strategy.driven"
    if too_many(branches) or not (any(any(branch.ranges.values()) for branch in branches) or _native_ranges(job)):
        yield "space", "strategy.driven"


def _native_ranges(job: TuningJob) -> bool:
    """Whether the native settings name what is searched."""
    config = job.native_settings("sagemaker").get("HyperParameterTuningJobConfig")
    return f"{DEFINITION}s" in job.native_settings("sagemaker") or (
        isinstance(config, dict) and bool(config.get("ParameterRanges"))
    )


def _fits_grid(job: TuningJob, branches: list[Branch]) -> bool:
    """Whether the service's grid is the same: categories alone, all combinations, none twice."""
    size = 1
    for kind, declared in branches[0].ranges.items():
        if kind != "CategoricalParameterRanges":
            return False
        for each in declared:
            size *= len(each["Values"])
    return size <= MAX_JOBS and not job.search_space().conditional and job.limits.trials in (None, size)


def _of_plain_space(job: TuningJob) -> Iterator[Reason]:
    """What a program that reads the service's texts itself would see in another form."""
    for name, entry in job.space.items():
        for parameter in entry if isinstance(entry, tuple) else (entry,):
            if parameter.when or not (_is_plain(parameter) or isinstance(job.strategy, Grid)):
                yield f"space.{name}", "space.driven"
                break


def _is_plain(parameter: Parameter) -> bool:
    if isinstance(parameter, Normal | LogNormal):
        return False
    if isinstance(parameter, Int):
        return parameter.step == 1
    if isinstance(parameter, Categorical | Ordinal):
        return len(parameter.values) <= MAX_VALUES
    return not isinstance(parameter, Float) or parameter.step is None
