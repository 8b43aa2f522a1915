"""The order in which a resumed driver goes through what its search was asked and told."""

import tempfile
from decimal import Decimal
from pathlib import Path

from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.driver.course import course
from cloudtune.store.records import Charge, RunRecord, Trial, TrialState
from cloudtune.store.store import Store


@given(
    ended=st.permutations(range(6)),
    written=st.lists(st.tuples(st.integers(0, 5), st.floats(1, 900)), max_size=12),
)
@settings(max_examples=examples(30), deadline=None)
def test_charges_that_are_written_anew_leave_it_as_it_was(ended: list[int], written: list[tuple[int, float]]) -> None:
    """As when a trial takes the machines that were kept for it: then the one before pays for less."""
    with tempfile.TemporaryDirectory() as folder:
        run = Store(Path(folder)).create(RunRecord("r", "r", "toy", "toy", "{}", "{}"))
        trials = {number: Trial(number, {"x": number / 6}, asked=number + 1) for number in range(6)}
        run.write(trials=trials.values())
        for moment, number in enumerate(ended, 7):
            trial = trials[number]
            trial.state, trial.metrics, trial.told = TrialState.COMPLETED, {"loss": 1.0}, moment
            trial.charges = (Charge(1, "m", 1, 10.0, Decimal(1), "USD", 900.0),)
            run.write(trials=[trial])
        for number, kept in written:
            trials[number].charges = (Charge(1, "m", 1, 10.0, Decimal(1), "USD", kept),)
            run.write(trials=[trials[number]])
        moves = course(run.history(), [])
        assert [(move.kind, move.trial.number) for move in moves] == [
            *(("ask", number) for number in range(6)),
            *(("tell", number) for number in ended),
        ]
        run.store.close()
