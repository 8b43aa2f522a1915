"""Trials that a user enqueued for a run, until its driver takes them up: from this process or another."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudtune.errors import ConfigError
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Values
from cloudtune.store.database import store_errors
from cloudtune.store.records import ELSEWHERE, RunRecord, RunState
from cloudtune.store.rows import Damage, scalars

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore


@dataclass(frozen=True, slots=True)
class Enqueued:
    """An enqueued trial.

    Attributes:
        id: of its row, for `RunStore.write(taken=…)`.
        parameters: the given values by name, some or all of the trial's.
        time: seconds since 1970 at which it was enqueued.
    """

    id: int
    parameters: Values
    time: float


def refuse_where_none_is_taken(record: RunRecord) -> None:
    """Raise ConfigError for a run that takes no trials of a user's own: of a service's tuner, or driven elsewhere now."""
    if json.loads(record.plan).get("mode") == "managed":
        ways = "what to try goes into `first` of a job with mode: driven"
        raise ConfigError(f"{record.provider}'s own tuner chooses every trial of {record.id}; {ways}")
    elsewhere = record.native.get(ELSEWHERE)
    if elsewhere is not None and record.state in (RunState.RUNNING, RunState.STOPPING):
        when = "it takes trials when it has ended, before a resume"
        raise ConfigError(
            f"the driver of {record.id} is a job on {elsewhere}, which does not see what is enqueued here; {when}"
        )


def enqueue(run: "RunStore", trials: Iterable[Mapping[str, Scalar]]) -> RunState:
    """Write trials that the run's driver takes up before its next suggestion; return the run's state at that moment.

    Args:
        run: the run; another process may drive it.
        trials: the given values of each, which its space allows.
    """
    rows = [(run.id, json.dumps(dict(given)), time.time()) for given in trials]
    with store_errors(run.path):
        database = run.store.database
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany("INSERT INTO enqueued (run, parameters, time) VALUES (?, ?, ?)", rows)
            state = database.execute("SELECT state FROM runs WHERE id = ?", [run.id]).fetchone()[0]
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
    return RunState(state)


def enqueued(run: "RunStore") -> list[Enqueued]:
    """Return the trials that no driver has taken up, in their order.

    Raises:
        DamagedRun: what the store holds of them is damaged.
    """
    query = "SELECT id, parameters, time FROM enqueued WHERE run = ? ORDER BY id"
    with store_errors(run.path):
        database = run.store.database
        if not run.store.writable and not database.execute("PRAGMA table_info(enqueued)").fetchall():
            return []  # an older store
        rows = database.execute(query, [run.id]).fetchall()
    try:
        return [Enqueued(key, scalars("an enqueued trial", values), when) for key, values, when in rows]
    except Damage as error:
        raise run.damaged(error) from error


def shown(parameters: Mapping[str, Scalar]) -> str:
    """Return values by name as the command line takes them."""
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in parameters.items()
    )
