"""What a Kubernetes cluster does with each field of a job."""

from cloudtune.planning.plan import Support
from cloudtune.planning.support import DEFAULT_SUPPORT, EXACT, SupportTable

_OF_THE_CLUSTER = "the cluster's own policies decide; say it by kubernetes: {…} or the profile's template"

SUPPORT: SupportTable = {
    **DEFAULT_SUPPORT,
    "trial.source.native": (Support.APPROXIMATE, "the image's own program starts, so no code travels: of no effect here"),
    "trial.command": (Support.ENCODED, "started by the trial helper, which travels with the code in ConfigMaps, 8 MB packed at most; the image needs Python"),
    "trial.command.native": (Support.APPROXIMATE, "the container starts what the native settings name; the command is for other providers"),
    "trial.command.stored": (Support.ENCODED, "started by the trial helper, which travels with the code by the profile's storage, from which an init container fetches it; the image needs Python"),
    "trial.function": (Support.ENCODED, "called by the trial helper, started as a command is"),
    "objective.source": (Support.ENCODED, "the trial helper hears it in the program's own process, and reports it from there"),
    "objective.source.native": (Support.UNSUPPORTED, "the program starts without the trial helper, which is what hears it; take the source away"),
    "stopping.auto": (Support.APPROXIMATE, "there is no service whose own rule could be taken: the median rule is used"),
    "stopping.unkept": (Support.APPROXIMATE, "no volume keeps checkpoints, so paused trials begin anew; give output: pvc://CLAIM/FOLDER"),
    "mode.managed": (Support.DRIVEN, "there is no managed tuner: cloudtune drives the trials itself, with a Job a trial"),
    "compute.instance": (Support.UNCHECKED, "by the nodes' label node.kubernetes.io/instance-type, as clouds set it; whether there are such nodes the cluster knows"),
    "compute.instance.several": (Support.UNCHECKED, "the scheduler takes nodes of any of them, the first preferred"),
    "compute.instance.foreign": (Support.APPROXIMATE, "another service's machine type: of no effect here"),
    "compute.count": (Support.ENCODED, "as an indexed Job of so many pods, with a headless Service by which they find each other (MASTER_ADDR, RANK, WORLD_SIZE)"),
    "compute.accelerators": (Support.UNCHECKED, "as the resource of their device plugin, on nodes whose labels say this kind"),
    "compute.accelerators.part": (Support.UNSUPPORTED, "a container has whole devices; name the resource of a shared one, such as nvidia.com/mig-1g.5gb"),
    "compute.spot": (Support.UNSUPPORTED, 'which nodes are spot nodes? say spot = "gke", "eks", "aks" or "karpenter", or the part of a pod\'s spec that leads there, in the profile'),
    "compute.max_wait": (Support.APPROXIMATE, "how long a pod waits for a node the profile says (unscheduled)"),
    "compute.keep": (Support.APPROXIMATE, "how long an idle node stays the cluster's autoscaler decides"),
    "data": (Support.ENCODED, "travels in ConfigMaps, 8 MB packed at most with the code; larger data by the profile's storage (s3://…, gs://…, https://…), or belongs on a volume: pvc://CLAIM/FOLDER"),
    "data.stored": (Support.ENCODED, "travels by the profile's storage, from which an init container fetches it"),
    "data.claim": EXACT,
    "data.remote": (Support.UNSUPPORTED, "Kubernetes fetches nothing from there; give a folder of a volume under the key kubernetes: {kubernetes: pvc://CLAIM/FOLDER, …}, or a folder here"),
    "output": (Support.ENCODED, "each run has a folder of its own there, and in it each trial"),
    "output.remote": (Support.UNSUPPORTED, "outputs go to a volume; give one under the key kubernetes: {kubernetes: pvc://CLAIM/FOLDER, …}"),
    "network": (Support.APPROXIMATE, _OF_THE_CLUSTER),
    "network.isolated": (Support.UNSUPPORTED, "a NetworkPolicy of the cluster cuts pods off; take isolated away, or make one for the namespace and say isolated = true in the profile"),
    "network.isolated.profile": (Support.APPROXIMATE, "the profile says that the cluster's own policies cut trials off"),
    "region": (Support.APPROXIMATE, "of no effect: a cluster has no region to choose"),
    "identity.foreign": (Support.APPROXIMATE, "is no service account of Kubernetes: trials run as the profile's, or the namespace's default"),
    "encryption": (Support.APPROXIMATE, "keys and traffic are the cluster's and its storage classes'"),
    "tags.legal": (Support.APPROXIMATE, "labels there are of letters, digits, dashes, dots and underscores, 63 at most"),
    "kubernetes": EXACT,
}  # fmt: skip
"""What a cluster does with each field; what is not here is as in `cloudtune.planning.support`."""
