"""The plan of a provider whose service has a tuner of its own, as far as a service of common abilities needs no other.

The service gets an experiment as plain data; the trial's program is the trial helper, which travels with the code. The
provider writes the experiment, says where in it each field went, and overrides the rows of the table that differ::

    SUPPORT = {**managed_plan.MANAGED_SUPPORT, "stopping": (Support.EXACT, "")}

    def plan(self, job: TuningJob) -> Plan:
        ledger = Ledger(self.name)
        request = {"title": job.name, "knobs": …, "env": managed_plan.inputs(ledger, job, "store://cloudtune", "env", SUPPORT)}
        managed_plan.carry_fields(ledger, job, {"name": "title", "stopping": "rule"})
        managed_plan.note_space(ledger, job, codec, "knobs")
        return managed_plan.close(ledger, job, request, SUPPORT, MERGING)

SageMaker's, Vertex AI's and Azure Machine Learning's own translations say more than this.
"""

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.upload import Put, staged
from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.plan import TOLD_BY_FOLLOWER, Beside, Ledger, Machines, Plan, Support
from cloudtune.planning.replaced import note_replaced
from cloudtune.planning.support import EXACT, SupportTable
from cloudtune.planning.translation import with_environment
from cloudtune.space.space_codec import SpaceCodec
from cloudtune.spec.fields import alternatives, pick
from cloudtune.spec.job import TuningJob, regex_paths
from cloudtune.spec.places import is_remote
from cloudtune.spec.sources import source_paths
from cloudtune.store.secrets import kept_environment
from cloudtune.trial import data_variable

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

_HELPED = (Support.ENCODED, "by the trial helper, which travels with the code")
_WATCHED = (Support.WATCHED, "the service has no such limit: what follows the run stops it")
_MACHINE = (Support.APPROXIMATE, "the machine type decides; choose one that has it (compute.instance)")
_ONE_KIND = (Support.APPROXIMATE, "the service has one kind of capacity")

MANAGED_SUPPORT: SupportTable = {
    **dict.fromkeys(("name", "objective", "space", "strategy", "limits", "mode", "strict", "tags"), EXACT),
    **dict.fromkeys(("trial.source", "trial.ignore", "trial.image", "trial.environment", "compute.instance"), EXACT),
    **dict.fromkeys(("trial.command", "trial.function", "objective.regex", "objective.source", "metrics", "data"), _HELPED),
    **dict.fromkeys(("limits.time", "limits.failed", "limits.target", "limits.no_improvement", "limits.cost"), _WATCHED),
    **dict.fromkeys(("compute.accelerators", "compute.cpus", "compute.memory", "compute.disk"), _MACHINE),
    **dict.fromkeys(("compute.spot", "compute.max_wait"), _ONE_KIND),
    "first": (Support.UNSUPPORTED, "the service's tuner chooses every trial; take it away"),
    "require": (Support.UNSUPPORTED, "the service cannot be told which combinations are allowed; take it away"),
    "stopping": (Support.UNSUPPORTED, "the service ends no trial early; take it away"),
    "constraints": (Support.UNSUPPORTED, "the service's tuner knows no constraints; take them away"),
    "retries": (Support.UNSUPPORTED, "the service tries no trial again; take it away"),
    "warm_start": (Support.UNSUPPORTED, "the service learns from no other job; take it away"),
    "confirm": (Support.UNSUPPORTED, "the service runs no trial again with another seed; take it away"),
    "mode.driven": (Support.UNSUPPORTED, "the service runs no plain jobs that cloudtune could drive; take it away"),
    "compute.count": (Support.UNSUPPORTED, "a trial has one machine there; take it away"),
    "notify": (Support.WATCHED, TOLD_BY_FOLLOWER),
    "compute.keep": (Support.APPROXIMATE, "the service decides how long machines stay"),
    "data.remote": (Support.UNSUPPORTED, "the service cannot read it; give a place of its own under the provider's key, or a folder here"),
    "output": (Support.APPROXIMATE, "outputs stay with the service; `cloudtune fetch` copies them"),
    "network": (Support.APPROXIMATE, "trials stand in the service's own network"),
    "network.isolated": (Support.UNSUPPORTED, "trials reach the network there; take it away"),
    "region": (Support.APPROXIMATE, "the profile decides where trials run"),
    "identity": (Support.APPROXIMATE, "trials run as whom the service runs them"),
    "encryption": (Support.APPROXIMATE, "the service has keys of its own"),
    "native": (Support.APPROXIMATE, "settings of another provider: of no effect here"),
}  # fmt: skip
"""What such a service does with each field; a provider's own table begins with it."""


def carry_fields(ledger: Ledger, job: TuningJob, places: Mapping[str, str]) -> None:
    """Account for the fields that are in the request, and for those that travel with the code or concern the plan.

    Args:
        ledger: takes where each field went.
        job: the spec.
        places: paths of the request by the paths of fields, such as ``trial.image``; of objectives that of their list.
    """
    for path, target in places.items():
        value: Any = reduce(getattr, path.split("."), job)
        if path == "objective":
            for index in range(len(job.objective)):
                ledger.carry(f"objective[{index}]", f"{target}[{index}]")
        elif path == "compute.instance" and len(alternatives(value, ledger.provider)) > 1:
            ledger.note(path, Support.APPROXIMATE, "the service takes one machine type: the first", target)
        elif isinstance(value, Mapping) and path in ("trial.image", "compute.instance", "output", "identity"):
            ledger.carry_per_provider(path, value, target)
        else:
            ledger.carry(path, target)
    beside = {"trial.source": Beside.CODE, "trial.ignore": Beside.CODE, "strict": Beside.PLAN}
    beside |= {} if job.mode == "driven" else {"mode": Beside.PLAN}
    beside |= {"compute.count": Beside.DEFAULT} if job.compute.count == 1 else {}
    for path, word in beside.items():
        if path not in places:
            ledger.carry(path, word)


def inputs(ledger: Ledger, job: TuningJob, store: str, target: str, table: SupportTable) -> dict[str, str]:
    """Return the places of a job's inputs by the variables that a trial finds them by, and account for them.

    Args:
        ledger: takes where each went.
        job: the spec.
        store: where uploads go, with its scheme; places of the same scheme are read where they are.
        target: where in the request the variables are.
        table: the provider's.
    """
    found: dict[str, str] = {}
    scheme = f"{store.partition('://')[0]}://"
    for name, value in job.data.items():
        place = pick(value, ledger.provider)
        if place is None or (is_remote(place) and not place.startswith(scheme)):
            ledger.note(f"data.{name}", *table["data.remote"])
            continue
        found[data_variable(name)] = place if is_remote(place) else f"{store}/data/${{data:{name}}}"
        ledger.carry_per_provider(f"data.{name}", value, target)
        own = f"data.{name}" if isinstance(value, str) else f"data.{name}.{ledger.provider}"
        ledger.note(own, *table["data"], target)
    return found


def final_request(run: "RunStore", job: TuningJob, plan: Plan, upload: Put, target: str) -> dict[str, Any]:
    """Return the plan's request without anything left open, after code and data have been uploaded.

    Args:
        run: the run.
        job: the spec.
        plan: its plan.
        upload: uploads files below an address of the request.
        target: the member of the request with the environment variables.

    Raises:
        ProviderError: the service refused, or cannot be reached.
    """
    request = staged(plan.request, run, job, provider=plan.provider, bucket=lambda: "", upload=upload)
    values = kept_environment(run) if job.trial.environment else {}
    final: dict[str, Any] = with_environment(request, values, target)
    return final


def note_space(ledger: Ledger, job: TuningJob, codec: SpaceCodec, target: str) -> None:
    """Account for the parameters, which are items of a list in the request, in the order of the codec's dimensions.

    Args:
        ledger: takes where each went.
        job: the spec.
        codec: by which the space travels.
        target: the list.
    """
    said = codec.describe()
    for name in job.space:
        found = [(index, each) for index, each in enumerate(codec.encoded_dimensions) if each.dimension.name == name]
        steps = "; ".join(dict.fromkeys(said[each.dimension.key] for _, each in found if each.dimension.key in said))
        place = f"{target}[{found[0][0]}]"
        ledger.carry_if(not steps, f"space.{name}", place, Support.ENCODED, steps)


def close(
    ledger: Ledger,
    job: TuningJob,
    request: Mapping[str, Any],
    table: SupportTable,
    merging: Merging,
    machines: Machines | None = None,
) -> Plan:
    """Return the plan of an experiment, with the native settings merged into it, and every other field noted by the table.

    Args:
        ledger: knows where fields went.
        job: the spec.
        request: as the neutral fields say it.
        table: the provider's; see `Provider.support`.
        merging: how native settings are merged.
        machines: of one trial.
    """
    own = job.native_settings(ledger.provider)
    for name in own:
        ledger.carry(f"{ledger.provider}.{name}", name)
    if job.trial.command is None and job.trial.function is None and not own:
        message = "an image's own program is not started; give a command or a function"
        ledger.note("trial.image", Support.UNSUPPORTED, message)
    for path in regex_paths(job):
        ledger.note(path, *table["objective.regex"])
    for path in source_paths(job):
        ledger.note(path, *table["objective.source"])
    if job.mode == "driven":
        ledger.note("mode", *table["mode.driven"])
    ledger.note_other_natives(job, *table["native"])
    ledger.note_rest(job, table)
    merged = merging.merge(request, own)
    note_replaced(ledger, job, ledger.provider, request, merged)
    return ledger.close(job, "managed", merged, machines)
