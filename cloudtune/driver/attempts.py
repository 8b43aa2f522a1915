"""The attempts at a trial: they begin, wait for room at their place, and may end before they ran."""

import time

from cloudtune.driver.decisions import Running
from cloudtune.driver.launcher import Launcher, Queued
from cloudtune.store.records import QUEUED, Trial, TrialState


def begin(trial: Trial, launcher: Launcher, *, keep: bool) -> None:
    """Count the next attempt at a trial, which is about to be launched.

    Args:
        trial: whose last attempt is over.
        launcher: that will launch it.
        keep: whether the metrics of earlier attempts count, since it goes on from a checkpoint.
    """
    trial.attempt += 1
    trial.place = launcher.place(trial)
    trial.state, trial.started, trial.ended, trial.reason = TrialState.RUNNING, time.time(), None, ""
    trial.metrics = trial.metrics if keep else {}


def queue(running: Running, update: Queued) -> bool:
    """Note on a launched trial that it waits, or has begun; return whether that is new.

    A trial that its driver is stopping stays as it is.
    """
    trial, reason = running.trial, f"{QUEUED}{update.why}"
    if running.stop is not None or trial.reason == reason or not (update.why or trial.queued):
        return False
    if update.why:
        trial.state, trial.reason, trial.started = TrialState.WAITING, reason, None
    else:
        trial.state, trial.reason, trial.started = TrialState.RUNNING, "", time.time()
    return True


def take_back(trial: Trial) -> None:
    """Count the last attempt at a trial no more, of which nothing has begun."""
    trial.attempt, trial.started = trial.attempt - 1, None
