"""How a driver says that a run is interrupted, and how it has ended by itself."""

from collections.abc import Mapping

from cloudtune.store.records import RunState, TrialState

INTERRUPTED = {
    1: "interrupted: the {} running trials come to their end, and no more are launched; once more ends them now",
    2: "interrupted again: the {} running trials are ended; a resume starts them again",
}


def ending(counts: Mapping[TrialState, int], run_id: str, why: str = "", *, left: str = "") -> tuple[RunState, str]:
    """Return the state of a run that stops by itself, and the reason.

    Args:
        counts: how many trials ended in each state.
        run_id: of the run.
        why: the reason if it ended well; "" for none.
        left: why it stops although there is more to run; "" where there is not.
    """
    if left:
        return RunState.INTERRUPTED, resume_hint(run_id, left)
    if not counts[TrialState.COMPLETED] and not counts[TrialState.PRUNED]:
        return RunState.FAILED, f"no trial ended well; see why with: cloudtune trials {run_id}"
    return RunState.COMPLETED, why


def resume_hint(run_id: str, why: str) -> str:
    """Return why a run is interrupted, with the command that goes on with it."""
    return f"{why}; `cloudtune resume {run_id}` goes on with it"
