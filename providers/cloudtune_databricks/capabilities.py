"""What Databricks does with each field of a job, whose trials cloudtune drives."""

from cloudtune.planning.plan import Support
from cloudtune.planning.support import DEFAULT_SUPPORT, EXACT, SupportTable

_BY_NODE = (
    Support.APPROXIMATE,
    "the node type decides; choose one that has it (compute.instance), or say it by databricks: {…}",
)
_OF_THE_WORKSPACE = "the workspace's own network and policies decide"

SUPPORT: SupportTable = {
    **DEFAULT_SUPPORT,
    "trial.source.native": (Support.APPROXIMATE, "the task of the native settings starts, so no code travels: of no effect here"),
    "trial.command": (Support.ENCODED, "started by the trial helper, which travels with the code by the profile's volume, in a process of its own beside the task's"),
    "trial.command.native": (Support.APPROXIMATE, "the task of the native settings starts; the command is for other providers"),
    "trial.function": (Support.ENCODED, "called by the trial helper, started as a command is"),
    "trial.image": (Support.ENCODED, "by Databricks Container Services, which the workspace must have on"),
    "trial.image.none": (Support.APPROXIMATE, "no container: trials run in the environment of the cluster or of serverless compute; say dependencies in the profile, or give a node type (compute.instance)"),
    "trial.environment": (Support.ENCODED, "travels in a file on the volume, which is removed when the run ends"),
    "trial.environment.native": (Support.UNSUPPORTED, "the task of the native settings starts without it; take it away, or say it there (spark_env_vars)"),
    "objective.source": (Support.ENCODED, "the trial helper hears it in the program's own process, and prints it for the driver"),
    "objective.source.native": (Support.UNSUPPORTED, "the program starts without the trial helper, which is what hears it; take the source away"),
    "objective.regex.native": (Support.APPROXIMATE, "looked for in the run's output when it has ended, of which Databricks keeps 5 MB"),
    "stopping.auto": (Support.APPROXIMATE, "there is no service whose own rule could be taken: the median rule is used"),
    "stopping.native": (Support.APPROXIMATE, "what the task of the native settings prints is known when it has ended: none is stopped before"),
    "mode.managed": (Support.DRIVEN, "Databricks has no tuner of its own: cloudtune drives the trials itself"),
    "compute.instance": EXACT,
    "compute.instance.foreign": (Support.APPROXIMATE, "another service's machine type: of no effect here"),
    "compute.instance.several": (Support.DRIVEN, "trials get the next one where there are no nodes of a type"),
    "compute.count": (Support.APPROXIMATE, "the program starts on the cluster's driver, and reaches the other nodes as Spark's workers (TorchDistributor, spark.sparkContext)"),
    "compute.count.one": (Support.APPROXIMATE, "a trial is one process on serverless compute, or on the driver of the cluster that is there"),
    "compute.accelerators": _BY_NODE,
    "compute.cpus": _BY_NODE,
    "compute.memory": _BY_NODE,
    "compute.disk": (Support.APPROXIMATE, "the node type decides; databricks: {new_cluster: {aws_attributes: {ebs_volume_size: …}}} gives more"),
    "compute.spot": (Support.ENCODED, "spot nodes, the driver's as well; where there are none, others (SPOT_WITH_FALLBACK)"),
    "compute.spot.other": (Support.APPROXIMATE, "serverless compute and a cluster that is there have one kind of capacity"),
    "compute.spot.unknown": (Support.UNSUPPORTED, "which cloud's? say databricks: {new_cluster: {aws_attributes: {availability: SPOT_WITH_FALLBACK}}}, azure_attributes or gcp_attributes"),
    "compute.max_wait": (Support.APPROXIMATE, "how long a run waits for nodes Databricks decides"),
    "compute.keep": (Support.APPROXIMATE, "a trial's cluster ends with it; a pool keeps nodes, databricks: {new_cluster: {instance_pool_id: …}}, or a cluster that is there"),
    "data": (Support.ENCODED, "travels to the profile's volume, once for each content"),
    "data.volume": EXACT,
    "data.remote": (Support.UNSUPPORTED, "programs read volumes and this machine's files alone; make an external volume of it, and give {databricks: /Volumes/…}"),
    "data.native": (Support.APPROXIMATE, "the task of the native settings knows where its data is: of no effect here"),
    "output": (Support.ENCODED, "each run has a folder of its own there, and in it each trial"),
    "output.remote": (Support.UNSUPPORTED, "outputs go to a volume; give {databricks: /Volumes/CATALOG/SCHEMA/VOLUME/FOLDER}"),
    "output.native": (Support.APPROXIMATE, "the task of the native settings says where its outputs go: of no effect here"),
    "network": (Support.APPROXIMATE, _OF_THE_WORKSPACE),
    "network.isolated": (Support.UNSUPPORTED, "a network policy of the account cuts trials off; take isolated away, or make one and say isolated = true in the profile"),
    "network.isolated.profile": (Support.APPROXIMATE, "the profile says that the account's own policy cuts trials off"),
    "region": (Support.APPROXIMATE, "of no effect: trials run where the workspace stands"),
    "identity.folder": (Support.UNCHECKED, "it has to read the program that starts trials, which is in your own home: say folder = \"/Workspace/Shared/…\" in the profile"),
    "encryption": (Support.APPROXIMATE, "keys and traffic are the workspace's"),
    "tags": (Support.ENCODED, "as tags of each trial's cluster"),
    "tags.none": (Support.APPROXIMATE, "kept with the run: only clusters of their own have tags; a usage policy has those of serverless compute (databricks: {usage_policy_id: …})"),
    "databricks": EXACT,
}  # fmt: skip
"""What Databricks does with each field; what is not here is as in `cloudtune.planning.support`."""
