"""What Slurm says of a task: its states and reasons, and what they mean for a trial. Imports the standard library alone."""

import re
from dataclasses import dataclass

ACTIVE = frozenset({
    "PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT",
    "STAGE_OUT", "STOPPED", "SIGNALING", "RESV_DEL_HOLD", "POWER_UP_NODE", "UPDATE_DB", "EXPEDITING",
})  # fmt: skip
"""States of a task that has not ended: it waits, runs, or will run again (squeue(1), JOB STATE CODES)."""

ENDED = frozenset({
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "REVOKED",
    "LAUNCH_FAILED", "RECONFIG_FAIL",
})  # fmt: skip
"""States of a task that has ended."""

LOST = {
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not boot",
    "PREEMPTED": "Slurm preempted it for a job of higher priority",
    "LAUNCH_FAILED": "Slurm could not launch it on its node",
    "RECONFIG_FAIL": "its node could not be set up for it",
    "REVOKED": "Slurm moved it to another cluster",
}
"""Why a trial is lost and not to blame, by the state of its task."""

FAILED = {
    "TIMEOUT": "Slurm ended it at its limit of time; say a longer one: slurm: {time: …}, limits.trial_time",
    "DEADLINE": "Slurm ended it at its deadline",
    "OUT_OF_MEMORY": "it needed more memory than it had asked for; say more: compute.memory",
    "CANCELLED": "somebody cancelled it in Slurm (scancel)",
}
"""Why a trial has failed, by the state of its task."""

HOPELESS = {
    "BadConstraints": "no node has what it asks for (constraint, gres, cpus, memory)",
    "PartitionConfig": "it asks for more than its partition gives to one job",
    "PartitionTimeLimit": "its limit of time is longer than the partition's",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives to one job",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its qos is not valid",
    "ReservationDeleted": "its reservation was deleted",
    "DependencyNeverSatisfied": "what it depends on will not happen",
    "AssocMaxWallDurationPerJobLimit": "its limit of time is longer than its account may have",
    "AssocMaxCpuPerJobLimit": "it asks for more processors than its account may have for one job",
    "AssocMaxNodePerJobLimit": "it asks for more nodes than its account may have for one job",
    "AssocMaxMemPerJob": "it asks for more memory than its account may have for one job",
    "AssocMaxGRESPerJob": "it asks for more gres than its account may have for one job",
    "QOSMaxWallDurationPerJobLimit": "its limit of time is longer than its qos allows",
    "QOSMaxCpuPerJobLimit": "it asks for more processors than its qos allows for one job",
    "QOSMaxNodePerJobLimit": "it asks for more nodes than its qos allows for one job",
    "QOSMaxMemoryPerJob": "it asks for more memory than its qos allows for one job",
    "QOSMaxGRESPerJob": "it asks for more gres than its qos allows for one job",
    "QOSMinGRES": "it asks for less gres than its qos wants",
    "QOSNotAllowed": "its partition does not take its qos",
    "JobHoldMaxRequeue": "it was started in vain as often as the cluster allows",
    "AccountNotAllowed": "its partition does not take its account",
}
"""Reasons for which a task that waits will never start (squeue(1), JOB REASON CODES), in words."""

HELD = {"launch failed requeued held": "its node could not launch it"}
"""Reasons for which Slurm holds a task that another attempt may do without, in words."""

TOO_LARGE = re.compile(r"invalid job array specification", re.IGNORECASE)
"""What sbatch says of an array with more tasks than the cluster's MaxArraySize."""

FULL = re.compile(r"MaxSubmit|job submit limit|temporarily un|job queue full", re.IGNORECASE)
"""What sbatch says where the cluster, an account or a qos has as many jobs as it may: fewer tasks, or later ones, may be taken."""

RETRIES = "sleeping and retrying"
"""What sbatch says before it sleeps, for two minutes in all, where the cluster has as many jobs as it may."""

REFUSALS = (
    ("account", "sacctmgr show associations user=$USER lists yours; account in the profile, or below slurm:"),
    ("partition name", "`cloudtune check` lists them"),
    ("qos", "sacctmgr show qos lists them; qos in the profile, or below slurm:"),
    ("feature", "sinfo --format='%P %f' lists what constraint may ask for"),
    ("gres", "sinfo --format='%P %G' lists what there is"),
    ("node configuration|CPU count|Memory specification", "sinfo --format='%P %c %m' lists processors and MB of the nodes"),
    ("reservation", "scontrol show reservation lists them"),
    ("array specification", "the cluster takes no job arrays"),
)  # fmt: skip
"""What to do about words of sbatch's refusals."""

_ITS_TURN = "its turn in Slurm's queue (Resources, Priority)"  # which of the two changes as others start

WAITS = {
    "Resources": _ITS_TURN,
    "Priority": _ITS_TURN,
    "ReqNodeNotAvail": "a node that it names",
    "Nodes required for job are DOWN": "nodes that are down, drained or reserved",
    "JobHeldUser": "its release: scontrol release",
    "JobHeldAdmin": "its release by an administrator",
    "Reservation": "its reservation to begin",
    "Licenses": "licenses",
    "PartitionDown": "its partition to be up",
    "PartitionInactive": "its partition to be active",
}
"""What a task waits for, by the reason that Slurm says; other reasons are shown as they are."""

PASSING = ("None", "", "JobArrayTaskLimit", "BeginTime", "Cleaning")
"""Reasons that say nothing: the array's own throttle, or that the scheduler has not looked yet."""


@dataclass(frozen=True, slots=True)
class Row:
    """A task of an array, as squeue or sacct lists it.

    Attributes:
        job: id of the array.
        index: of the task in it.
        state: one of `ACTIVE` or `ENDED`.
        reason: why it waits.
        batch: the comment that it was submitted with.
        raw: the id of the task as a job of its own.
        node: where it runs.
    """

    job: str
    index: int
    state: str
    reason: str = ""
    batch: str = ""
    raw: str = ""
    node: str = ""

    @property
    def name(self) -> str:
        """The name of the task, ``123_4``."""
        return f"{self.job}_{self.index}"

    @property
    def ended(self) -> bool:
        """Whether the task has ended; False for a state that a newer Slurm has invented."""
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        """Whether it waits to be started."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")


FORMAT = "%i|%T|%r|%k|%A|%N"
"""Columns of squeue that `rows` reads."""


def rows(printed: str) -> list[Row]:
    """Return the tasks that squeue (with `FORMAT`) or sacct (``JobID,State``) lists; lines of other jobs are skipped."""
    found = []
    for line in printed.splitlines():
        name, state, reason, batch, raw, node = [*line.strip().split("|"), *[""] * 5][:6]
        job, _, index = name.partition("_")
        if job.isdecimal() and index.isdecimal():
            word = state.split(" ")[0].rstrip("+")  # sacct: "CANCELLED by 1000"
            found.append(Row(job, int(index), word, reason.strip("()"), batch, raw, node))
    return found


def waiting(reason: str) -> str:
    """Return what a task waits for; "" if the reason says nothing."""
    name = reason.split(",", maxsplit=1)[0]  # "ReqNodeNotAvail, UnavailableNodes:n1"
    if name in PASSING:
        return ""
    return WAITS.get(name, "") or f"what Slurm calls {reason}"


def refusal(why: str) -> str:
    """Return why a trial fails whose submission sbatch refuses, and what to do about it where that is known."""
    todo = next((todo for words, todo in REFUSALS if re.search(words, why, re.IGNORECASE)), "")
    return f"sbatch refuses it: {why}{f'; {todo}' if todo else ''}"
