"""Support of a Ray cluster for each field of a job."""

from cloudtune.planning.plan import Support
from cloudtune.planning.support import SupportTable
from cloudtune.provider.driven_plan import DRIVEN_SUPPORT

_NOT_HERE = Support.APPROXIMATE

SUPPORT: SupportTable = {
    **DRIVEN_SUPPORT,
    "trial.source": (Support.ENCODED, "travels to each node once; a requirements.txt in it is installed only if ray: {runtime_env: {pip: requirements.txt}} says so"),
    "trial.source.none": (Support.APPROXIMATE, "without trial.source no code travels: it starts where the job file is on nodes that have this folder, else in an empty one"),
    "trial.image": (_NOT_HERE, "no container: trials run in the Python of the node's Ray, or in what ray: {runtime_env: …} makes"),
    "mode.managed": (Support.DRIVEN, "a Ray cluster has no tuner of its own: cloudtune drives the trials itself"),
    "compute.instance": (_NOT_HERE, "Ray knows resources, not machine types; ask for them by cpus, accelerators, memory or ray: {resources: {NAME: 1}}"),
    "compute.count": (_NOT_HERE, "a trial is one process on one node; it may spread itself by ray.init(), which finds this cluster"),
    "compute.accelerators": (Support.EXACT, ""),
    "compute.accelerators.unknown": (Support.UNSUPPORTED, "Ray has no accelerator of this name; take GPU for any, or one of ray.util.accelerators"),
    "compute.cpus": (Support.EXACT, ""),
    "compute.memory": (Support.EXACT, ""),
    "compute.disk": (_NOT_HERE, "trials use the disk of their node without a limit"),
    "compute.spot": (_NOT_HERE, "the cluster decides; trials of a node that is taken away are started again"),
    "compute.max_wait": (_NOT_HERE, "there is no capacity to wait for; ray: {wait: 10m} waits for nodes of a cluster that grows by itself"),
    "compute.keep": (_NOT_HERE, "slots take one trial after the other; how long an idle node stays the cluster's autoscaler decides"),
    "data": (Support.ENCODED, "travels to each node once, up to 2 GB together; ray: {data: shared} if all nodes see it where it is"),
    "data.shared": (Support.EXACT, ""),
    "data.remote": (Support.UNSUPPORTED, "Ray fetches nothing from there; give a folder or file here under the key ray: {ray: ./data, …}, or mount one in cloudtune.toml"),
    "output": (Support.ENCODED, "a folder that all nodes must see at this path; checkpoints lie there as well, and so survive the death of a node"),
    "output.remote": (_NOT_HERE, "nothing is uploaded: outputs travel back to the run's folder; give a folder that all nodes see under the key ray"),
    "output.mounted": (Support.APPROXIMATE, "goes to the folder that stands for it (mounts in cloudtune.toml), which all nodes must see"),
    "network": (_NOT_HERE, "trials use the network of their node"),
    "network.isolated": (Support.UNSUPPORTED, "trials can reach the network of their node; take isolated away, or isolate the cluster"),
    "identity": (_NOT_HERE, "trials run as the user of the node's Ray"),
    "encryption": (_NOT_HERE, "keys and traffic are the cluster's (RAY_USE_TLS)"),
    "tags": (_NOT_HERE, "kept with the run, but the cluster does not see them"),
    "ray": (Support.EXACT, ""),
    "ray.runtime_env.env_vars": (Support.ENCODED, "set by Ray for the slots of the trials; shown and stored as they are, unlike the values of trial.environment"),
}  # fmt: skip
"""Support with a remark: by path, or by a field and one of its cases."""

ACCELERATORS = (
    "V100", "P100", "T4", "P4", "K80", "A10G", "L4", "L40S", "A100", "A100-40G", "A100-80G", "H100", "H200", "H20",
    "B200", "B300", "GB200", "GB300", "RTX-PRO-6000", "Intel-GPU-Max-1550", "Intel-GPU-Max-1100", "Intel-GAUDI",
    "AMD-Instinct-MI100", "AMD-Instinct-MI250X", "AMD-Instinct-MI250X-MI250", "AMD-Instinct-MI210",
    "AMD-Instinct-MI300A", "AMD-Instinct-MI300X-OAM", "AMD-Instinct-MI300X-HF", "AMD-Instinct-MI308X",
    "AMD-Instinct-MI325X-OAM", "AMD-Instinct-MI350X-OAM", "AMD-Instinct-MI355X-OAM",
)  # fmt: skip
"""GPUs that Ray knows by name (`ray.util.accelerators`, Ray 2.60); counted as ``num_gpus``."""


def accelerator(name: str) -> str | None:
    """Return Ray's name of an accelerator, also by Google's (``NVIDIA_TESLA_T4``); "" for any; None for an unknown one.

    Ray's module has the names as constants of the same kind: ``NVIDIA_TESLA_T4 = "T4"``.
    """
    plain = name.upper().replace("_", "-")
    if plain in ("GPU", "ANY"):
        return ""
    short = plain.removeprefix("NVIDIA-").removeprefix("TESLA-")
    return next((known for known in ACCELERATORS if known.upper() in (plain, short)), None)
