"""What SageMaker does with each field of a job, and whether its own tuner can do a job or only cloudtune's driver."""

from collections.abc import Iterator

from cloudtune.planning.mode import Reason, constraint_reasons, course_reasons, plain_space_reasons, strategy_reasons
from cloudtune.planning.plan import Support
from cloudtune.planning.support import EXACT, STOPPED_BY_FOLLOWER, SupportTable, tuner_support
from cloudtune.space.parameters import Categorical, Float, Int, LogNormal, Normal, Ordinal, Parameter
from cloudtune.space.space_codec import SpaceCodec
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Grid, Hyperband, Random
from cloudtune_sagemaker.algorithms import algorithm_of_image
from cloudtune_sagemaker.rules import MAX_JOBS, MAX_VALUES
from cloudtune_sagemaker.space import DEFINITION, Branch, defines_metrics, helped, too_many

_DRIVEN = "cloudtune's driver asks, with a training job a trial"

SUPPORT: SupportTable = {
    **tuner_support("SageMaker", "SageMaker's tuner", "a training job"),
    "name": (Support.ENCODED, "names there are of letters, digits and dashes, 32 at most, with a mark of the run's id"),
    "trial.source.native": (Support.APPROXIMATE, "the image's own program starts, so no code travels: of no effect here"),
    "trial.command": (Support.ENCODED, "started by SageMaker's training toolkit, which the image must hold, or by an entrypoint python /opt/ml/input/data/cloudtune/trial.py; driven runs start in any image with Python"),
    "trial.command.native": (Support.APPROXIMATE, "the training toolkit starts what the native sagemaker_program names; the command is for other providers"),
    "trial.image.elsewhere": (Support.UNCHECKED, "from another registry than Amazon ECR: SageMaker takes it only in a VPC with a TrainingImageConfig"),
    "trial.image.algorithm": (Support.DRIVEN, "SageMaker's tuner takes the metrics of its own algorithm's image alone, not those of your program: cloudtune's driver asks, with a training job a trial"),
    "objective.metric.long": (Support.APPROXIMATE, "a regex of the service has no room for a name of this length in capitals and small letters: it is found as it is written here"),
    "objective.measurement": (Support.DRIVEN, f"SageMaker's tuner takes the last value: {_DRIVEN}"),
    "strategy.seed.bayesian": (Support.APPROXIMATE, "SageMaker's Bayesian search draws alike with the same seed, not the same; mode: driven repeats a run"),
    "strategy.hyperband.eta": (Support.APPROXIMATE, "SageMaker's Hyperband chooses it itself"),
    "first": (Support.DRIVEN, f"SageMaker's tuner tries no values of yours first, and learns from tuning jobs alone, not from training jobs: {_DRIVEN}"),
    "stopping.auto": EXACT,
    "stopping.median": (Support.APPROXIMATE, "SageMaker stops by the median of running averages from when it sees fit: grace and interval are its own"),
    "limits.time": (Support.WATCHED, f"SageMaker takes 2 minutes to 182 days: {STOPPED_BY_FOLLOWER}"),
    "limits.target": EXACT,
    "limits.no_improvement": (Support.WATCHED, f"SageMaker takes 3 and more: {STOPPED_BY_FOLLOWER}"),
    "warm_start": EXACT,
    "warm_start.table": (Support.DRIVEN, f"SageMaker learns from its own jobs alone: {_DRIVEN}"),
    "compute.instance.several": (Support.DRIVEN, "driven trials get the next one where the service has no room; a tuning job chooses by itself (InstanceConfigs)"),
    "compute.instance.unknown": (Support.UNCHECKED, "of a form that SageMaker's have, but not among those that botocore knows"),
    "compute.keep.managed": (Support.APPROXIMATE, "SageMaker keeps no machines for a tuning job: of no effect; mode: driven keeps them from trial to trial"),
    "compute.keep.spot": (Support.APPROXIMATE, "SageMaker keeps no spot machines: of no effect"),
    "compute.keep.longest": (Support.APPROXIMATE, "SageMaker keeps machines for an hour at most: 3600 seconds"),
    "data.remote": (Support.UNSUPPORTED, "SageMaker reads s3:// and what is uploaded from here; give one under the key sagemaker: {sagemaker: s3://…, …}"),
    "output.remote": (Support.UNSUPPORTED, "SageMaker writes to s3://; give such a place under the key sagemaker: {sagemaker: s3://…, …}"),
    "network.name": (Support.APPROXIMATE, "SageMaker's machines stand where their subnets are; give network.subnets and security_groups"),
    "sagemaker": EXACT,
    "sagemaker.unheeded": (Support.APPROXIMATE, "what a tuning job takes and does not heed is named, such as KeepAlivePeriodInSeconds"),
}  # fmt: skip
"""What SageMaker does with each field; what is not here is as in `cloudtune.planning.support`."""


def reasons(job: TuningJob, codec: SpaceCodec, branches: list[Branch]) -> Iterator[Reason]:
    """Yield what in a job SageMaker's tuner cannot do."""
    if len(job.objective) > 1:
        yield "objective", "objective.several"
    for index, objective in enumerate(job.objective):
        if objective.measurement == "best":
            yield f"objective[{index}].measurement", "objective.measurement"
    yield from _of_strategy(job, branches)
    yield from constraint_reasons(job)
    yield from course_reasons(job, (Auto, Median))
    if job.warm_start is not None and job.warm_start.table is not None:
        yield "warm_start.table", "warm_start.table"
    if helped(job) and _brings_metrics(job):
        yield "trial.image", "trial.image.algorithm"
    if not helped(job) and len(branches) == 1 and f"{DEFINITION}s" not in job.native_settings("sagemaker"):
        grid = isinstance(job.strategy, Grid)
        yield from plain_space_reasons(job, codec, lambda encoded: grid or _is_plain(encoded.dimension.parameter))


def _brings_metrics(job: TuningJob) -> bool:
    """Return whether a job's image is an algorithm of SageMaker's own, whose metrics the tuner takes alone."""
    image = pick(job.trial.image, "sagemaker")
    algorithm = None if image is None else algorithm_of_image(image)
    return algorithm is not None and algorithm.own and not defines_metrics(job)


def _of_strategy(job: TuningJob, branches: list[Branch]) -> Iterator[Reason]:
    strategy = job.strategy
    yield from strategy_reasons(job, (Grid, Random, Bayesian, Hyperband))
    if isinstance(strategy, Hyperband) and strategy.searcher != "random":
        yield "strategy.searcher", "strategy.driven"
    if isinstance(strategy, Hyperband) and strategy.resume is not None:
        yield "strategy.resume", "strategy.driven"
    if isinstance(strategy, Grid) and not _fits_grid(job, branches):
        yield "strategy", "strategy.driven"
    if too_many(branches) or not (any(any(branch.ranges.values()) for branch in branches) or _native_ranges(job)):
        yield "space", "strategy.driven"


def _native_ranges(job: TuningJob) -> bool:
    """Return whether the native settings name what is searched."""
    config = job.native_settings("sagemaker").get("HyperParameterTuningJobConfig")
    return f"{DEFINITION}s" in job.native_settings("sagemaker") or (
        isinstance(config, dict) and bool(config.get("ParameterRanges"))
    )


def _fits_grid(job: TuningJob, branches: list[Branch]) -> bool:
    """Return whether the service's grid is the same: categories alone, all combinations, none twice."""
    size = 1
    for kind, declared in branches[0].ranges.items():
        if kind != "CategoricalParameterRanges":
            return False
        for each in declared:
            size *= len(each["Values"])
    return size <= MAX_JOBS and not job.search_space().conditional and job.limits.trials in (None, size)


def _is_plain(parameter: Parameter) -> bool:
    """Return whether a program reads a parameter from SageMaker's texts as the spec has it."""
    if isinstance(parameter, Normal | LogNormal):
        return False
    if isinstance(parameter, Int):
        return parameter.step == 1
    if isinstance(parameter, Categorical | Ordinal):
        return len(parameter.values) <= MAX_VALUES
    return not isinstance(parameter, Float) or parameter.step is None
