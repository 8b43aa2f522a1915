"""The machine types that trials may get where a job names several."""

from dataclasses import replace

from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.planning.support import SupportTable
from cloudtune.spec.fields import alternatives
from cloudtune.spec.job import TuningJob

SEVERAL = "compute.instance.several"
"""The row of a provider's table that says that trials get the next of several machine types where one has no room."""

_FIELD = "compute.instance"


def with_alternatives(plan: Plan, job: TuningJob, table: SupportTable) -> Plan:
    """Return a plan with the further machine types that trials may get; where they get the first alone, a note says so.

    Args:
        plan: of the job.
        job: in the words of the service.
        table: the provider's; see `SEVERAL`.
    """
    others = alternatives(job.compute.instance, plan.provider)[1:]
    if not others or plan.support(_FIELD) in (Support.APPROXIMATE, Support.UNSUPPORTED):
        return plan
    if SEVERAL not in table:
        return plan.with_notes([Note(_FIELD, Support.APPROXIMATE, "trials get one machine type: the first")])
    return plan if plan.machines is None else replace(plan, machines=replace(plan.machines, others=others))
