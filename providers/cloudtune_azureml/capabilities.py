"""What Azure Machine Learning does with each field of a job, and whether its own sweep can do a job or only cloudtune's driver."""

from collections.abc import Iterator

from cloudtune.planning.mode import Reason, constraint_reasons, course_reasons, plain_space_reasons, strategy_reasons
from cloudtune.planning.plan import Support
from cloudtune.planning.support import EXACT, SupportTable, tuner_support
from cloudtune.space.codecs import NumberAsText, ValuesAsText
from cloudtune.space.parameters import Float, Int, LogNormal, Normal
from cloudtune.space.space_codec import EncodedDimension
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Bandit, Median, Truncation
from cloudtune.spec.strategies import Bayesian, Grid, Random, Sobol
from cloudtune_azureml.rules import MAX_TRIALS
from cloudtune_azureml.space import Branched, helped, sampling_of, whole_bell, write

_DRIVEN = "cloudtune's driver asks, with a command job a trial"
_TUNER = tuner_support("Azure Machine Learning", "Azure Machine Learning's sweep", "a command job")

SUPPORT: SupportTable = {
    **_TUNER,
    "trial.command": (Support.ENCODED, "started by the trial helper, which travels with the code; the environment needs Python"),
    "trial.command.native": (Support.APPROXIMATE, "the trial starts what the native settings name; the command is for other providers"),
    "objective.measurement.last": (Support.UNCHECKED, "which of a trial's values the sweep learns from is not documented; the run's best trial is chosen as asked"),
    "objective.measurement": (Support.APPROXIMATE, "which of a trial's values the sweep learns from is not documented; the run's best trial is chosen as asked"),
    "objective.regex": (Support.ENCODED, "the trial helper looks for it in the output and logs it to the workspace's MLflow"),
    "objective.regex.native": (Support.APPROXIMATE, "the service reads no output: a program that starts by itself logs to MLflow"),
    "metrics": (Support.ENCODED, "the trial helper looks for them in the output and logs them to the workspace's MLflow"),
    "metrics.mlflow": (Support.ENCODED, "the trial helper logs it to the workspace's MLflow, for which the environment needs no package"),
    "strategy.seed": (Support.APPROXIMATE, "Azure Machine Learning takes a seed for random sampling alone; mode: driven keeps it"),
    "strategy.sobol": (Support.APPROXIMATE, "as rule: sobol of random sampling, which may begin elsewhere in the sequence"),
    "stopping.bayesian": (Support.DRIVEN, f"Azure Machine Learning stops no trials of Bayesian sampling early: {_DRIVEN}"),
    "stopping.auto": (Support.APPROXIMATE, "there is no rule of the service's own choice: the median policy is used"),
    "stopping.steps": (Support.EXACT, "a step is a logged value of the metric"),
    "limits.short": (Support.APPROXIMATE, "Azure Machine Learning takes whole seconds, 60 at least; the process that follows the run ends a trial on time"),
    "retries": (Support.DRIVEN, f"Azure Machine Learning's sweep tries nothing again: {_DRIVEN}"),
    "region": (Support.APPROXIMATE, "trials run where the workspace stands; it counts for prices"),
    "compute.instance": (Support.UNCHECKED, "of a form that sizes or computes have; which there are, only the workspace knows"),
    "compute.instance.several": (Support.DRIVEN, "driven trials get the next one where the service has no room"),
    "compute.instance.managed": (Support.APPROXIMATE, "Azure Machine Learning's tuner takes one machine type, the first; mode: driven tries the next where there is no room"),
    "compute.count": (Support.ENCODED, "as many nodes, on each of which MPI starts the trial; azureml: {trial: {distribution: …}} says otherwise"),
    "compute.disk": _TUNER["compute.cpus"],
    "compute.spot": (Support.ENCODED, "as the spot tier of serverless compute; a cluster has its own priority"),
    "compute.keep": (Support.APPROXIMATE, "a job cannot say it: a cluster has an idle time of its own (az ml compute update --idle-time-before-scale-down SECONDS; 120 unless said), serverless machines have none"),
    "compute.max_wait": (Support.APPROXIMATE, "Azure Machine Learning's spot jobs wait as long as they must"),
    "data.remote": (Support.UNSUPPORTED, "Azure Machine Learning reads azureml://, https://, wasbs://, abfss:// and what is uploaded from here; give one under the key azureml: {azureml: azureml://…, …}"),
    "data.quote": (Support.UNSUPPORTED, "Azure Machine Learning writes the path into the command as it is, where a ' ends a word: rename the file or folder"),
    "output": (Support.ENCODED, "each trial has a folder of its own there"),
    "output.remote": (Support.UNSUPPORTED, "Azure Machine Learning writes to datastores; give such a place under the key azureml: {azureml: azureml://datastores/NAME/paths/…, …}"),
    "network": (Support.APPROXIMATE, "the network is the workspace's and the compute's"),
    "network.isolated": (Support.UNSUPPORTED, "Azure Machine Learning does not cut trials off the network; take isolated away, or use a workspace with a managed network and say isolated = true in the profile"),
    "network.isolated.profile": (Support.APPROXIMATE, "the profile says that the workspace's own network cuts trials off"),
    "encryption": (Support.APPROXIMATE, "keys are the workspace's and the compute's"),
    "azureml": EXACT,
    "azureml.unheeded": (Support.APPROXIMATE, "what the service takes and does not heed is named, such as the job tier on a cluster"),
}  # fmt: skip
"""What Azure Machine Learning does with each field; what is not here is as in `cloudtune.planning.support`."""


def reasons(job: TuningJob, codec: Branched) -> Iterator[Reason]:
    """Yield what in a job Azure Machine Learning's sweep cannot do."""
    searched = job.native_settings("azureml").get("search_space")
    if len(job.objective) > 1:
        yield "objective", "objective.several"
    yield from strategy_reasons(job, (Grid, Random, Sobol, Bayesian))
    if isinstance(job.strategy, Grid) and not _fits_grid(codec):
        yield "strategy", "strategy.driven"
    if not searched and not write(codec, sampling_of(job)).space:
        yield "space", "strategy.driven"
    rules = (Auto, Bandit, Median, Truncation)
    if isinstance(job.stopping, rules) and isinstance(job.strategy, Bayesian):
        yield "stopping", "stopping.bayesian"
    yield from constraint_reasons(job)
    yield from course_reasons(job, rules)
    if job.warm_start is not None:
        yield "warm_start", "warm_start"
    if not helped(job) and not searched:  # else the native settings say how it travels
        yield from plain_space_reasons(job, codec, lambda encoded: _is_plain(job, encoded))


def _fits_grid(codec: Branched) -> bool:
    """Return whether the service's grid is the same: listed values alone, and conditions as branches."""
    return not any(
        isinstance(travel.parameter, Float) or codec.masked(travel) or (travel.dimension.axis.size or 0) > MAX_TRIALS
        for travel in codec.encoded_dimensions
    )


def _is_plain(job: TuningJob, travel: EncodedDimension) -> bool:
    """Return whether a parameter travels as it stands, but for the form of a number or a text."""
    if not all(isinstance(codec, NumberAsText | ValuesAsText) for codec in travel.codecs):
        return False
    match travel.parameter:
        case Int(scale="log"):
            return sampling_of(job) == "random"
        case Int():
            return (travel.dimension.axis.size or 0) <= MAX_TRIALS
        case Float(scale=scale, step=step):
            return step is None and (scale == "linear" or (scale == "log" and sampling_of(job) == "random"))
        case Normal() | LogNormal():
            return sampling_of(job) == "random" and whole_bell(travel.parameter)
        case _:
            return True
