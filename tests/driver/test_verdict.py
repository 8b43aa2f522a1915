"""How a trial ended: one table for every combination of what is known, whether cloudtune or a service runs the trial."""

import itertools
from typing import Any

import pytest
from plain_jobs import plain_data

from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import exceeds, verdict
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import TrialState

RUNNING, COMPLETED, FAILED, CANCELLED, PRUNED, WAITING = (
    TrialState.RUNNING, TrialState.COMPLETED, TrialState.FAILED, TrialState.CANCELLED, TrialState.PRUNED, TrialState.WAITING,
)  # fmt: skip

JOB = TuningJob.from_data(plain_data(limits={"trials": 3, "trial_time": "2m"}, stopping={"type": "median"}))
PRUNED_HERE = (PRUNED, "pruned at step 3 by the median rule")
CANCELLED_HERE = (CANCELLED, "the time limit is reached")
STARTED_AGAIN = (WAITING, "interrupted")
TOLD = "cancelled by its user"
SAID, MISSING = "it broke", "there is no loss"
EARLY = (PRUNED, "stopped early by the service (stopping: median)")
TOO_LONG = (FAILED, "it ran longer than 2m (limits.trial_time)")

ANY: Any = object()
NO_WAY_OUT = (RUNNING, FAILED, CANCELLED)

#  state,            measured, decided,       job_ended, too_long, early, unmeasured → the verdict
TABLE = [
    # A driver's decision about the trial itself.
    (ANY,            ANY,   PRUNED_HERE,      ANY,  ANY,   ANY,   ANY,   PRUNED_HERE),
    (ANY,            ANY,   CANCELLED_HERE,   ANY,  ANY,   ANY,   ANY,   CANCELLED_HERE),
    (NO_WAY_OUT,     ANY,   STARTED_AGAIN,    ANY,  ANY,   ANY,   ANY,   STARTED_AGAIN),
    # A program may end well because it was asked to end: what it has not measured by then is no failure of its own.
    (COMPLETED,      False, STARTED_AGAIN,    ANY,  ANY,   ANY,   ANY,   STARTED_AGAIN),
    # It ended well, with its objective: also if its interrupted driver would have started it again.
    (COMPLETED,      True,  (None, STARTED_AGAIN), ANY, ANY, False, ANY, (COMPLETED, "")),
    (COMPLETED,      True,  (None, STARTED_AGAIN), ANY, ANY, True,  ANY, EARLY),
    # Its job was told to end.
    (COMPLETED,      False, None,             TOLD, ANY,   ANY,   ANY,   (CANCELLED, TOLD)),
    (NO_WAY_OUT,     ANY,   None,             TOLD, ANY,   ANY,   ANY,   (CANCELLED, TOLD)),
    # It ran too long.
    (COMPLETED,      False, None,             None, True,  ANY,   ANY,   TOO_LONG),
    (NO_WAY_OUT,     ANY,   None,             None, True,  ANY,   ANY,   TOO_LONG),
    # It failed.
    (FAILED,         True,  None,             None, False, ANY,   ANY,   (FAILED, SAID)),
    (FAILED,         False, None,             None, False, ANY,   False, (FAILED, SAID)),
    (FAILED,         False, None,             None, False, ANY,   True,  (FAILED, f"{SAID} {MISSING}")),
    # It ended well without its objective.
    (COMPLETED,      False, None,             None, False, ANY,   ANY,   (FAILED, MISSING)),
    # It was stopped, or left as it was.
    (CANCELLED,      ANY,   None,             None, False, True,  ANY,   EARLY),
    (CANCELLED,      ANY,   None,             None, False, False, ANY,   (CANCELLED, SAID)),
    (RUNNING,        ANY,   None,             None, False, ANY,   ANY,   (CANCELLED, "the job ended before it did")),
]  # fmt: skip

KNOWN = list(
    itertools.product(
        (RUNNING, COMPLETED, FAILED, CANCELLED),
        (True, False),
        (None, PRUNED_HERE, CANCELLED_HERE, STARTED_AGAIN),
        (None, TOLD),
        *[(True, False)] * 3,
    )
)
_SEVERAL = (NO_WAY_OUT, (None, STARTED_AGAIN))


def _fits(row: tuple[Any, ...], known: tuple[Any, ...]) -> bool:
    return all(
        wanted is ANY
        or (given in wanted if any(wanted is each or wanted == each for each in _SEVERAL) else wanted == given)
        for wanted, given in zip(row, known, strict=True)
    )


def test_the_table_has_every_combination_once_and_each_ends_as_it_says() -> None:
    assert len(KNOWN) == 512
    for known in KNOWN:
        (expected,) = [row[-1] for row in TABLE if _fits(row[:-1], known)]
        state, measured, decided, job_ended, too_long, early, unmeasured = known
        seen = TrialSnapshot(
            0, "place", state, reason=SAID, too_long=too_long, stopped_early=early, unmeasured=unmeasured
        )
        found = verdict(
            seen, JOB, measured=measured, missing=lambda: MISSING, decided=decided, job_ended=job_ended
        )  # fmt: skip
        assert found == expected, known


def test_a_log_is_read_only_where_the_reason_needs_it() -> None:
    def missing() -> str:
        raise AssertionError("it was read")

    for state in (FAILED, CANCELLED, RUNNING):
        verdict(TrialSnapshot(0, "place", state), JOB, measured=False, missing=missing)


@pytest.mark.parametrize(
    ("state", "reason"),
    [(FAILED, "the service gave no reason"), (CANCELLED, "it was stopped on the service")],
)
def test_a_service_that_says_nothing_leaves_no_reason_empty(state: TrialState, reason: str) -> None:
    assert verdict(TrialSnapshot(0, "place", state), JOB, measured=True, missing=lambda: "") == (state, reason)


def test_how_long_a_trial_ran_is_compared_where_its_times_are_known() -> None:
    assert exceeds(JOB, 100.0, 220.0)
    assert not exceeds(JOB, 100.0, 219.9)
    assert not exceeds(JOB, None, 220.0)
    assert not exceeds(JOB, 100.0, None)
    unlimited = JOB.model_copy(update={"limits": JOB.limits.model_copy(update={"trial_time": None})})
    assert not exceeds(unlimited, 100.0, 1e9)
