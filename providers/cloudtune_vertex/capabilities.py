"""What Vertex AI does with each field of a job, and whether its own tuner can do a job or only cloudtune's driver."""

from collections.abc import Iterator, Mapping

from cloudtune.planning.mode import Reason
from cloudtune.planning.plan import Support
from cloudtune.space.codecs import NumberAsText, ValuesAsText
from cloudtune.space.parameters import Constant, Float, Int
from cloudtune.space.space_codec import EncodedDimension
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Grid, Random
from cloudtune_vertex.space import Nested, helped

_MACHINE_DECIDES = "the machine type decides; choose one that has it (compute.instance)"
_DRIVEN = "cloudtune's driver asks, with a custom job a trial"

SUPPORT: Mapping[str, tuple[Support, str]] = {
    "name": (Support.EXACT, ""),
    "trial.source": (Support.EXACT, ""),
    "trial.source.native": (Support.APPROXIMATE, "the image's own program starts, so no code travels: of no effect here"),
    "trial.ignore": (Support.EXACT, ""),
    "trial.command": (Support.ENCODED, "started by the trial helper, from the bucket that the service shows at /gcs; the image needs sh and Python"),
    "trial.command.native": (Support.APPROXIMATE, "the container starts what the native settings name; the command is for other providers"),
    "trial.function": (Support.ENCODED, "called by the trial helper, started as a command is"),
    "trial.image": (Support.EXACT, ""),
    "trial.environment": (Support.EXACT, ""),
    "objective": (Support.EXACT, ""),
    "objective.several": (Support.EXACT, ""),
    "objective.measurement": (Support.DRIVEN, f"Vertex AI's tuner selects all metrics' measurements alike: {_DRIVEN}"),
    "objective.regex": (Support.ENCODED, "the trial helper looks for it in the output and writes the metrics file of the service"),
    "objective.regex.native": (Support.APPROXIMATE, "the service reads no output: an image that starts by itself reports with the package cloudml-hypertune"),
    "metrics": (Support.ENCODED, "the trial helper looks for them in the output and writes the metrics file of the service"),
    "metrics.managed": (Support.APPROXIMATE, "Vertex AI's tuner tells the objectives alone: they are in the output only"),
    "space": (Support.EXACT, ""),
    "space.driven": (Support.DRIVEN, f"the program reads what the service sends, which cannot say this: {_DRIVEN}"),
    "strategy": (Support.EXACT, ""),
    "strategy.driven": (Support.DRIVEN, f"Vertex AI's tuner has no such strategy, or not this setting of it: {_DRIVEN}"),
    "strategy.seed": (Support.APPROXIMATE, "Vertex AI's tuner has no seed: another run draws other values; mode: driven keeps it"),
    "stopping": (Support.DRIVEN, f"Vertex AI's tuner has no such rule: {_DRIVEN}"),
    "stopping.auto": (Support.UNCHECKED, "by decay curves; whether tuning jobs heed it is not documented"),
    "stopping.median": (Support.APPROXIMATE, "Vertex AI judges by its own grace and interval; whether tuning jobs heed it is not documented"),
    "limits": (Support.EXACT, ""),
    "limits.time": (Support.WATCHED, "whoever follows the run stops it; studyStoppingConfig says it, too, but whether tuning jobs heed it is not documented"),
    "limits.target": (Support.WATCHED, "Vertex AI has no such limit: whoever follows the run stops it"),
    "limits.cost": (Support.WATCHED, "Vertex AI has no such limit: whoever follows the run stops it"),
    "limits.no_improvement": (Support.WATCHED, "whoever follows the run stops it; studyStoppingConfig says it, too, but whether tuning jobs heed it is not documented"),
    "retries": (Support.DRIVEN, f"Vertex AI's tuner tries again after errors of its own alone: {_DRIVEN}"),
    "warm_start": (Support.DRIVEN, f"Vertex AI's tuner learns from no other job: {_DRIVEN}"),
    "mode": (Support.EXACT, ""),
    "strict": (Support.EXACT, ""),
    "compute.instance": (Support.EXACT, ""),
    "compute.instance.unknown": (Support.UNCHECKED, "of a form that Google's machine types have, but not among those that are known here"),
    "compute.count": (Support.ENCODED, "as a pool of one machine, the chief, and a second pool of the others"),
    "compute.accelerators": (Support.EXACT, ""),
    "compute.accelerators.part": (Support.UNSUPPORTED, "a machine has whole accelerators; write count: 1"),
    "compute.cpus": (Support.APPROXIMATE, _MACHINE_DECIDES),
    "compute.memory": (Support.APPROXIMATE, _MACHINE_DECIDES),
    "compute.disk": (Support.EXACT, ""),
    "compute.spot": (Support.EXACT, ""),
    "compute.keep": (Support.APPROXIMATE, "as a persistent resource of as many machines as run at once, which is made for the run and deleted at its end: it costs until then, however long trials are apart"),
    "compute.keep.managed": (Support.APPROXIMATE, "Vertex AI's tuner starts machines for each trial: of no effect; mode: driven keeps them"),
    "compute.keep.spot": (Support.APPROXIMATE, "a persistent resource has no spot machines: of no effect"),
    "compute.max_wait": (Support.APPROXIMATE, "Vertex AI's maxWaitDuration counts for FLEX_START; its spot machines wait as long as they must"),
    "data": (Support.ENCODED, "CLOUDTUNE_DATA_NAME names its place, which the service shows below /gcs; the trial helper makes a path of it"),
    "data.remote": (Support.UNSUPPORTED, "Vertex AI reads gs:// and what is uploaded from here; give one under the key vertex: {vertex: gs://…, …}"),
    "output": (Support.ENCODED, "each run has a folder of its own there, and in it each trial"),
    "output.native": (Support.EXACT, ""),
    "output.remote": (Support.UNSUPPORTED, "Vertex AI writes to gs://; give such a place under the key vertex: {vertex: gs://…, …}"),
    "network": (Support.EXACT, ""),
    "network.subnets": (Support.APPROXIMATE, "Vertex AI's machines stand in a peered network; give network.name: projects/NUMBER/global/networks/NAME"),
    "network.security_groups": (Support.APPROXIMATE, "the firewall of the peered network decides; give network.name: projects/NUMBER/global/networks/NAME"),
    "network.isolated": (Support.UNSUPPORTED, "Vertex AI does not cut trials off the network; take isolated away, or use VPC Service Controls and say isolated = true in the profile"),
    "network.isolated.profile": (Support.APPROXIMATE, "the profile says that the project's own network cuts trials off"),
    "identity": (Support.EXACT, ""),
    "encryption": (Support.EXACT, ""),
    "encryption.volume_key": (Support.APPROXIMATE, "Vertex AI has one key for all of a job; give it as encryption.key"),
    "encryption.traffic": (Support.APPROXIMATE, "Google encrypts the traffic between its machines by itself"),
    "tags": (Support.EXACT, ""),
    "tags.legal": (Support.APPROXIMATE, "labels there are of lowercase letters, digits, dashes and underscores, 63 at most"),
    "vertex": (Support.EXACT, ""),
    "vertex.unheeded": (Support.APPROXIMATE, "what the service takes and does not heed is named, such as maxWaitDuration without FLEX_START"),
    "native": (Support.APPROXIMATE, "settings of another provider: of no effect here"),
}  # fmt: skip
"""A path, or a field and one of its ways, → support and a remark."""


def reasons(job: TuningJob, codec: Nested) -> Iterator[Reason]:
    """What in a job Vertex AI's tuner cannot do."""
    if len({objective.measurement for objective in job.objective}) > 1:
        yield "objective", "objective.measurement"
    yield from _of_strategy(job, codec)
    if job.stopping is not None and not isinstance(job.stopping, Auto | Median):
        yield "stopping", "stopping"
    if job.retries:
        yield "retries", "retries"
    if job.warm_start is not None:
        yield "warm_start", "warm_start"
    if not helped(job):
        yield from _of_plain_space(job, codec)


def _of_strategy(job: TuningJob, codec: Nested) -> Iterator[Reason]:
    strategy = job.strategy
    if not isinstance(strategy, Grid | Random | Bayesian):
        yield "strategy", "strategy.driven"
    elif isinstance(strategy, Bayesian) and strategy.startup is not None:
        yield "strategy.startup", "strategy.driven"
    elif isinstance(strategy, Grid) and not _fits_grid(job, codec):
        yield "strategy", "strategy.driven"
    own = job.native_settings("vertex")
    if all(isinstance(each.parameter, Constant) for each in codec.encoded_dimensions) and not own.get("studySpec"):
        yield "space", "strategy.driven"


def _fits_grid(job: TuningJob, codec: Nested) -> bool:
    """Whether the service's grid is the same: listed and whole values alone, and no conditions."""
    kinds = [travel.parameter for travel in codec.encoded_dimensions]
    return not job.search_space().conditional and not any(isinstance(kind, Float) for kind in kinds)


def _of_plain_space(job: TuningJob, codec: Nested) -> Iterator[Reason]:
    """What a program that reads the service's arguments itself would see in another form, or should not see."""
    for name in job.space:
        travels = [travel for travel in codec.encoded_dimensions if travel.dimension.name == name]
        if len(travels) > 1 or codec.masked(travels[0]) or not _is_plain(travels[0]):
            yield f"space.{name}", "space.driven"


def _is_plain(travel: EncodedDimension) -> bool:
    """Whether a parameter travels as it stands, but for the form of a number or a text."""
    if not all(isinstance(codec, NumberAsText | ValuesAsText) for codec in travel.codecs):
        return False
    match travel.parameter:
        case Int(step=step):
            return step == 1
        case Float(scale=scale, step=step):
            return step is None and scale != "reverse_log"
        case _:
            return True
