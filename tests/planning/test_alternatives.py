"""What a plan says of the machine types of a job that names several."""

import pytest
from plain_jobs import plain_data

from cloudtune.planning.alternatives import SEVERAL, with_alternatives
from cloudtune.planning.plan import Machines, Note, Plan, Support
from cloudtune.spec.job import TuningJob

JOB = TuningJob.from_data(
    {
        **plain_data(),
        "limits": {"trials": 3},
        "compute": {"instance": ["big", "small"]},
    }
)
EXACT = {"compute.instance": "machine"}
TAKES_SEVERAL = {SEVERAL: (Support.DRIVEN, "trials get the next one")}


def plan_of(*notes: Note) -> Plan:
    return Plan("toy", "driven", {"machine": "big"}, {} if notes else EXACT, notes, Machines("big"))


@pytest.mark.parametrize(
    "notes", [(), (Note("compute.instance", Support.DRIVEN, "the next one where there is no room"),)]
)
def test_a_provider_whose_table_says_so_tries_the_others(notes: tuple[Note, ...]) -> None:
    plan = with_alternatives(plan_of(*notes), JOB, TAKES_SEVERAL)
    assert plan.machines == Machines("big", others=("small",))
    assert plan.notes == notes


def test_one_whose_table_does_not_takes_the_first_and_the_plan_says_so() -> None:
    plan = with_alternatives(plan_of(), JOB, {})
    assert plan.machines == Machines("big")
    assert plan.support("compute.instance") is Support.APPROXIMATE
    assert [note.message for note in plan.notes] == ["trials get one machine type: the first"]


def test_one_that_said_so_itself_is_left_alone() -> None:
    said = plan_of(Note("compute.instance", Support.APPROXIMATE, "the tuner takes the first"))
    assert with_alternatives(said, JOB, TAKES_SEVERAL) == said


def test_one_type_leaves_no_choice() -> None:
    one = JOB.model_copy(update={"compute": JOB.compute.model_copy(update={"instance": "big"})})
    assert with_alternatives(plan_of(), one, TAKES_SEVERAL) == plan_of()
