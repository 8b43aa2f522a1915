"""Decide how an attempt has ended, by what its task recorded and by what Slurm says of it."""

from collections.abc import Mapping
from typing import Any

from cloudtune.driver.launcher import Ended
from cloudtune.process.endings import ended_of
from cloudtune.process.setting import Setting
from cloudtune_slurm.claims import by_itself
from cloudtune_slurm.states import FAILED, LOST


def judged(setting: Setting, number: int, attempt: int, news: Mapping[str, Any], state: str, log: str) -> Ended:
    """Return the end of an attempt.

    What the trial did by itself counts first; then what Slurm did; an end that left no record, and that Slurm has
    forgotten, is no fault of the trial's.

    Args:
        setting: of the run.
        number: of the trial.
        attempt: which start of it.
        news: with ``ended``, ``starts``, whether its driver has ``cancelled`` its task, and ``printed`` where it left no
            record; see `cloudtune_slurm.agent`.
        state: of its task in Slurm; "" if that is not known any more.
        log: path of the trial's log.
    """
    outcome, recorded = news["ended"], news["ended"]["why"] != "lost"
    if recorded and by_itself(outcome):
        return ended_of(setting, number, attempt, outcome, log)
    stopped = recorded and outcome["why"] == "stopped"
    if stopped and state in ("COMPLETED", "FAILED"):
        state = "TIMEOUT"  # the signal comes before the limit, and it ended in time
    lost = _lost(news, state)
    if lost or (stopped and state not in FAILED):
        why = lost or "Slurm asked it to end, and does not know why any more"
        return Ended(number, attempt, why, lost=True, preempted=state == "PREEMPTED")
    if state in FAILED:
        return Ended(number, attempt, FAILED[state])
    if recorded:
        return ended_of(setting, number, attempt, outcome, log)
    if state == "FAILED":
        why = news.get("printed") or "nothing was printed; its node may not see the run's folder"
        return Ended(number, attempt, f"its job failed before the trial began: {why}", retry=True)
    return Ended(
        number, attempt, "its task has ended without a word of how, and Slurm does not know it any more", lost=True
    )


def _lost(news: Mapping[str, Any], state: str) -> str:
    """Return why an attempt is lost and not to blame, by the state of its task; "" if it is not."""
    if state == "TIMEOUT" and any(start.get("turn") for start in news["starts"][-1:]):
        return "its task's time was over, of which other trials had taken a part"
    if state == "CANCELLED" and news["cancelled"]:
        return "its task was cancelled as it seemed to have nothing more to run"
    return LOST.get(state, "")
