"""Support of a Slurm cluster for each field of a job."""

from cloudtune.planning.plan import Support
from cloudtune.planning.support import SupportTable
from cloudtune.provider.driven_plan import DRIVEN_SUPPORT

SUPPORT: SupportTable = {
    **DRIVEN_SUPPORT,
    "trial.source": (Support.ENCODED, "travels to the run's folder on the shared file system once"),
    "trial.source.none": (Support.APPROXIMATE, "without trial.source no code travels: it starts where the job file is, by ssh in an empty folder"),
    "trial.image": (Support.APPROXIMATE, "no container unless a prefix makes one: slurm: {container: 'apptainer exec docker://{image}'}"),
    "trial.image.container": (Support.EXACT, ""),
    "mode.managed": (Support.DRIVEN, "Slurm has no tuner of its own: cloudtune drives the trials itself"),
    "compute.instance": (Support.APPROXIMATE, "Slurm knows partitions and features, not machine types: slurm: {partition: …, constraint: …}"),
    "compute.count": (Support.ENCODED, "so many nodes; the command starts on the first of them, and starts the others by srun"),
    "compute.accelerators": (Support.ENCODED, "asked for as --gres=gpu:TYPE:COUNT, by the type's name in the cluster's gres.conf; GPU for any"),
    "compute.accelerators.part": (Support.UNSUPPORTED, "Slurm gives whole GPUs; take a whole number, or the shards or MIG types of the cluster: slurm: {gres: shard:1}"),
    "compute.cpus": (Support.EXACT, ""),
    "compute.cpus.part": (Support.APPROXIMATE, "Slurm gives whole processors: the next whole number is asked for"),
    "compute.memory": (Support.ENCODED, "asked for in MiB, rounded up, as --mem; enforced where the cluster's configuration says so"),
    "compute.disk": (Support.APPROXIMATE, "trials use the disk of their node; ask for more by slurm: {options: [--tmp=…]}"),
    "compute.spot": (Support.APPROXIMATE, "the partition or qos decides: slurm: {partition: …, qos: …}; preempted trials start again and cost no retry"),
    "compute.max_wait": (Support.APPROXIMATE, "trials wait in Slurm's queue for as long as it takes; slurm: {options: [--deadline=…]} ends that"),
    "compute.keep": (Support.APPROXIMATE, "the cluster's nodes are there already"),
    "data": (Support.EXACT, ""),
    "data.shipped": (Support.ENCODED, "travels to the run's folder on the shared file system once"),
    "output": (Support.ENCODED, "a folder that all nodes must see at this path"),
    "output.brought": (Support.ENCODED, "outputs travel back to this folder when a trial ends"),
    "output.remote": (Support.APPROXIMATE, "nothing is uploaded: outputs stay in the run's folder; give a folder that all nodes see under the key slurm"),
    "network": (Support.APPROXIMATE, "trials use the network of their node"),
    "network.isolated": (Support.UNSUPPORTED, "trials can reach the network of their node; take isolated away"),
    "identity": (Support.APPROXIMATE, "trials run as the user who submits them; slurm: {account: …} says who is charged"),
    "tags": (Support.APPROXIMATE, "kept with the run, but Slurm does not see them"),
    "slurm": (Support.EXACT, ""),
    "slurm.local.tasks": (Support.UNSUPPORTED, "tasks on nodes that do not see the run's folder (local in the profile) run one trial; take it away"),
    "slurm.local.source": (Support.APPROXIMATE, "nothing but trial.source travels to nodes that do not see the run's folder: it starts in an empty one"),
}  # fmt: skip
"""Support with a remark: by path, or by a field and one of its cases."""
