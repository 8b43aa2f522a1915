"""What Vertex AI does with each field of a job, and whether its own tuner can do a job or only cloudtune's driver."""

from collections.abc import Iterator

from cloudtune.planning.mode import Reason, course_reasons, plain_space_reasons, strategy_reasons
from cloudtune.planning.plan import Support
from cloudtune.planning.support import EXACT, STOPPED_BY_FOLLOWER, SupportTable, tuner_support
from cloudtune.space.codecs import NumberAsText, ValuesAsText
from cloudtune.space.parameters import Constant, Float, Int
from cloudtune.space.space_codec import EncodedDimension
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Grid, Random
from cloudtune_vertex.space import Conditional, helped

_DRIVEN = "cloudtune's driver asks, with a custom job a trial"
_WATCHED = (
    Support.WATCHED,
    f"{STOPPED_BY_FOLLOWER}; studyStoppingConfig says it, too, but whether tuning jobs heed it is not documented",
)

SUPPORT: SupportTable = {
    **tuner_support("Vertex AI", "Vertex AI's tuner", "a custom job"),
    "trial.source.native": (Support.APPROXIMATE, "the image's own program starts, so no code travels: of no effect here"),
    "trial.command": (Support.ENCODED, "started by the trial helper, from the bucket that the service shows at /gcs; the image needs sh and Python"),
    "trial.command.native": (Support.APPROXIMATE, "the container starts what the native settings name; the command is for other providers"),
    "objective.several": EXACT,
    "objective.measurement": (Support.DRIVEN, f"Vertex AI's tuner selects all metrics' measurements alike: {_DRIVEN}"),
    "objective.regex": (Support.ENCODED, "the trial helper looks for it in the output and writes the metrics file of the service"),
    "objective.regex.native": (Support.APPROXIMATE, "the service reads no output: an image that starts by itself reports with the package cloudml-hypertune"),
    "metrics": (Support.ENCODED, "the trial helper looks for them in the output and writes the metrics file of the service"),
    "metrics.managed": (Support.APPROXIMATE, "Vertex AI's tuner tells the objectives alone: they are in the output only"),
    "constraints": (Support.UNCHECKED, "as safety metrics; whether tuning jobs heed their thresholds is not documented, and the run's best trial keeps them in any case"),
    "constraints.both": (Support.DRIVEN, f"a safety metric of Vertex AI's tuner has one threshold: {_DRIVEN}"),
    "constraints.objective": (Support.DRIVEN, f"a safety metric of Vertex AI's tuner is no objective: {_DRIVEN}"),
    "constraints.measurement": (Support.DRIVEN, f"Vertex AI's tuner takes a safety metric's value from the measurement that is best in the objective, and not the last one: {_DRIVEN}"),
    "strategy.seed": (Support.APPROXIMATE, "Vertex AI's tuner has no seed: another run draws other values; mode: driven keeps it"),
    "stopping.auto": (Support.UNCHECKED, "by decay curves; whether tuning jobs heed it is not documented"),
    "stopping.median": (Support.APPROXIMATE, "Vertex AI judges by its own grace and interval; whether tuning jobs heed it is not documented"),
    "limits.failed": EXACT,
    "limits.time": _WATCHED,
    "limits.no_improvement": _WATCHED,
    "compute.instance.several": (Support.DRIVEN, "driven trials get the next one where the service has no room"),
    "compute.instance.managed": (Support.APPROXIMATE, "Vertex AI's tuner takes one machine type, the first; mode: driven tries the next where there is no room"),
    "compute.instance.unknown": (Support.UNCHECKED, "of a form that Google's machine types have, but not among those that are known here"),
    "compute.count": (Support.ENCODED, "as a pool of one machine, the chief, and a second pool of the others"),
    "compute.accelerators": EXACT,
    "compute.accelerators.part": (Support.UNSUPPORTED, "a machine has whole accelerators; write count: 1"),
    "compute.keep": (Support.APPROXIMATE, "as a persistent resource of as many machines as run at once, which is made for the run and deleted at its end: it costs until then, however long trials are apart"),
    "compute.keep.managed": (Support.APPROXIMATE, "Vertex AI's tuner starts machines for each trial: of no effect; mode: driven keeps them"),
    "compute.keep.spot": (Support.APPROXIMATE, "a persistent resource has no spot machines: of no effect"),
    "compute.max_wait": (Support.APPROXIMATE, "Vertex AI's maxWaitDuration counts for FLEX_START; its spot machines wait as long as they must"),
    "data": (Support.ENCODED, "CLOUDTUNE_DATA_NAME names its place, which the service shows below /gcs; the trial helper makes a path of it"),
    "data.remote": (Support.UNSUPPORTED, "Vertex AI reads gs:// and what is uploaded from here; give one under the key vertex: {vertex: gs://…, …}"),
    "output": (Support.ENCODED, "each run has a folder of its own there, and in it each trial"),
    "output.native": EXACT,
    "output.remote": (Support.UNSUPPORTED, "Vertex AI writes to gs://; give such a place under the key vertex: {vertex: gs://…, …}"),
    "network.subnets": (Support.APPROXIMATE, "Vertex AI's machines stand in a peered network; give network.name: projects/NUMBER/global/networks/NAME"),
    "network.security_groups": (Support.APPROXIMATE, "the firewall of the peered network decides; give network.name: projects/NUMBER/global/networks/NAME"),
    "network.isolated": (Support.UNSUPPORTED, "Vertex AI does not cut trials off the network; take isolated away, or use VPC Service Controls and say isolated = true in the profile"),
    "network.isolated.profile": (Support.APPROXIMATE, "the profile says that the project's own network cuts trials off"),
    "encryption.volume_key": (Support.APPROXIMATE, "Vertex AI has one key for all of a job; give it as encryption.key"),
    "encryption.traffic": (Support.APPROXIMATE, "Google encrypts the traffic between its machines by itself"),
    "tags.legal": (Support.APPROXIMATE, "labels there are of lowercase letters, digits, dashes and underscores, 63 at most"),
    "vertex": EXACT,
    "vertex.unheeded": (Support.APPROXIMATE, "what the service takes and does not heed is named, such as maxWaitDuration without FLEX_START"),
}  # fmt: skip
"""What Vertex AI does with each field; what is not here is as in `cloudtune.planning.support`."""


def reasons(job: TuningJob, codec: Conditional) -> Iterator[Reason]:
    """Yield what in a job Vertex AI's tuner cannot do."""
    if len({objective.measurement for objective in job.objective}) > 1:
        yield "objective", "objective.measurement"
    yield from _of_strategy(job, codec)
    yield from _of_constraints(job)
    yield from course_reasons(job, (Auto, Median))
    if job.warm_start is not None:
        yield "warm_start", "warm_start"
    if not helped(job):
        yield from plain_space_reasons(job, codec, _is_plain)


def _of_constraints(job: TuningJob) -> Iterator[Reason]:
    """Yield constraints that a safety metric does not mean.

    StudySpec.MetricSpec.SafetyMetricConfig has one threshold, "boundary value between safe and unsafe", on the side that
    the metric's goal says; "You must provide a separate metric for objective metric".
    """
    objectives = {each.metric for each in job.objective}
    for index, constraint in enumerate(job.constraints):
        if len(constraint.bounds) > 1:
            yield f"constraints[{index}]", "constraints.both"
        if constraint.metric in objectives:
            yield f"constraints[{index}]", "constraints.objective"
        elif job.objective[0].measurement == "best":
            yield f"constraints[{index}]", "constraints.measurement"


def _of_strategy(job: TuningJob, codec: Conditional) -> Iterator[Reason]:
    yield from strategy_reasons(job, (Grid, Random, Bayesian))
    if isinstance(job.strategy, Grid) and not _fits_grid(job, codec):
        yield "strategy", "strategy.driven"
    own = job.native_settings("vertex")
    if all(isinstance(each.parameter, Constant) for each in codec.encoded_dimensions) and not own.get("studySpec"):
        yield "space", "strategy.driven"


def _fits_grid(job: TuningJob, codec: Conditional) -> bool:
    """Return whether the service's grid is the same: listed and whole values alone, and no conditions."""
    kinds = [travel.parameter for travel in codec.encoded_dimensions]
    return not job.search_space().conditional and not any(isinstance(kind, Float) for kind in kinds)


def _is_plain(travel: EncodedDimension) -> bool:
    """Return whether a parameter travels as it stands, but for the form of a number or a text."""
    if not all(isinstance(codec, NumberAsText | ValuesAsText) for codec in travel.codecs):
        return False
    match travel.parameter:
        case Int(step=step):
            return step == 1
        case Float(scale=scale, step=step):
            return step is None and scale != "reverse_log"
        case _:
            return True
