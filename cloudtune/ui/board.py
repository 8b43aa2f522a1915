"""The runs of some projects as the store has them; one thread reads, for all who look."""

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from cloudtune.driver.standing import as_it_is
from cloudtune.errors import CloudtuneError, DamagedRun, RunNotFound
from cloudtune.looking.asking import ask
from cloudtune.looking.data import seen_text
from cloudtune.remote.resolving import provider_of
from cloudtune.run import Run
from cloudtune.store.changes import revision_of
from cloudtune.store.records import RunState
from cloudtune.store.store import RunStore, Store
from cloudtune.ui.live_run import LiveRun, overview_row, read_once

T = TypeVar("T")

_INTERVAL = 0.25
"""Seconds between two looks at the store, for a run that is watched."""

_LIST_INTERVAL = 1.0
"""The same for the list of runs."""

_SHARE = 4.0
"""A look that takes long is followed by at least so many times its time without one."""

_ASK_INTERVAL = 30.0
"""Seconds between two questions to a service about a run that is looked at, while somebody looks; more after each failure."""

MAX_LIVE = 24
"""Most runs in memory; of more, those that were looked at last."""

_ACTIVE = (RunState.RUNNING, RunState.STOPPING)


class Board:
    """Reads the runs of projects for the page.

    Args:
        projects: their folders.

    Attributes:
        list_version: differs when the list of runs has changed.
        problems: why a run cannot be read, by its id; "" is the id of the list.
        over: returns whether the server ends, and all streams with it.
    """

    def __init__(self, projects: Sequence[Path]) -> None:
        self.projects = list(projects)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._stores = {folder: Store(folder) for folder in self.projects}
        self._live: OrderedDict[str, LiveRun] = OrderedDict()
        self._rows: dict[str, tuple[object, dict[str, Any]]] = {}
        self._watched: dict[str, int] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, tuple[float, float]] = {}
        self._troubles: dict[str, str] = {}
        self._list: list[dict[str, Any]] = []
        self.list_version = 0
        self.problems: dict[str, str] = {}
        self.over: Callable[[], bool] = lambda: False

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in the thread that reads the store."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, function, *arguments)

    def close(self) -> None:
        """End the reading."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    # In the thread that reads

    def live(self, run_id: str) -> LiveRun:
        """Return a run by its whole id, read from the store where it is not in memory.

        Raises:
            RunNotFound: no project has it.
            StoreError: it cannot be read.
        """
        found = self._live.get(run_id)
        if found is None:
            found = self._live[run_id] = LiveRun(self.stored(run_id))
            while len(self._live) > MAX_LIVE:
                oldest = next(each for each in self._live if each not in self._watched or each != run_id)
                del self._live[oldest]
        self._live.move_to_end(run_id)
        found.trouble = self._troubles.get(run_id, "")
        found.refresh()
        return found

    def stored(self, run_id: str) -> RunStore:
        """Return the store of a run by its whole id.

        Raises:
            RunNotFound: no project has it.
        """
        for store in self._stores.values():
            if store.path.exists() and run_id in store.ids():
                return RunStore(store, run_id)
        raise RunNotFound(f"there is no run {run_id!r} in {', '.join(map(str, self.projects))}")

    def _look_at_all(self) -> list[dict[str, Any]]:
        """Return a row for each run, the newest first; of a run that has not changed, the one that was made before."""
        rows: list[dict[str, Any]] = []
        for store in self._stores.values():
            rows += [self._row(RunStore(store, record.id)) for record in store.records()]
            rows += [_damaged(error, store.project) for error in store.damaged()]
        return sorted(rows, key=lambda row: -row["created"])

    def _row(self, run: RunStore) -> dict[str, Any]:
        try:
            record = as_it_is(run)
            trouble = self._troubles.get(run.id, "")
            key = (revision_of(run), record, trouble)
            known = self._rows.get(run.id)
            if known is not None and known[0] == key:
                return known[1]
            read = self.live(run.id).study() if record.state in _ACTIVE else read_once(run)
            row = {**overview_row(run.store.project, read), "seen": seen_text(record, trouble) if trouble else ""}
        except DamagedRun as error:
            return _damaged(error, run.store.project)
        self._rows[run.id] = key, row
        return row

    # In the server's loop

    @contextlib.asynccontextmanager
    async def watching(self, *run_ids: str) -> AsyncIterator[None]:
        """Keep runs up to date within the context; "" is the list of all runs."""
        for run_id in run_ids:
            self._watched[run_id] = self._watched.get(run_id, 0) + 1
            if run_id not in self._watchers:
                self._watchers[run_id] = asyncio.create_task(self._watch(run_id))
        try:
            yield
        finally:
            for run_id in run_ids:
                self._watched[run_id] -= 1
                if not self._watched[run_id]:
                    del self._watched[run_id]
                    self._watchers.pop(run_id).cancel()

    async def _watch(self, run_id: str) -> None:
        while True:
            begun = time.monotonic()
            try:
                if run_id:
                    live = await self.read(self.live, run_id)
                    self._ask_about([live.run.id] if live.summary()["state"] in ("running", "stopping") else [])
                else:
                    await self._watch_list()
                self.problems.pop(run_id, None)
            except CloudtuneError as error:
                self.problems[run_id] = str(error)
            took = time.monotonic() - begun
            await asyncio.sleep(max(_INTERVAL if run_id else _LIST_INTERVAL, _SHARE * took))

    async def _watch_list(self) -> None:
        rows = await self.read(self._look_at_all)
        if rows != self._list:
            self._list, self.list_version = rows, self.list_version + 1
        self._ask_about([row["id"] for row in rows if row["state"] in ("running", "stopping")])

    def rows(self) -> list[dict[str, Any]]:
        """Return the list of all runs, as it was last read."""
        return self._list

    def _ask_about(self, run_ids: Sequence[str]) -> None:
        """Have the services of runs asked in the background, each at most so often as `_ASK_INTERVAL` says."""
        now = time.monotonic()
        due = [each for each in run_ids if now >= self._asked.get(each, (0.0, 0.0))[0]]
        for run_id in due:
            wait = self._asked.get(run_id, (0.0, _ASK_INTERVAL))[1]
            self._asked[run_id] = now + wait, wait
        if due:
            threading.Thread(target=self._ask, args=[due], name="asking services", daemon=True).start()

    def _ask(self, run_ids: Sequence[str]) -> None:
        """Refresh runs as `cloudtune ls` does, with connections of this thread's own."""
        runs = []
        for run_id in run_ids:
            for folder in self.projects:
                with contextlib.suppress(CloudtuneError):  # the thread that reads tells it
                    store = Store(folder)
                    if store.path.exists() and run_id in store.ids():
                        runs.append(Run(store.run(run_id), provider_of(store.run(run_id).record(), folder)))
        troubles = ask(runs)
        for run_id in run_ids:
            self._troubles[run_id] = troubles.get(run_id, "")
            wait = self._asked[run_id][1]
            after = min(2 * wait, 10 * _ASK_INTERVAL) if run_id in troubles else _ASK_INTERVAL
            self._asked[run_id] = time.monotonic() + after, after


def _damaged(error: DamagedRun, project: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"id": error.run_id, "name": error.run_id, "project": str(project), "state": "damaged"}
    row |= {"reason": str(error), "where": "", "emulated": False, "created": 0.0, "ended": None, "elapsed": 0.0}
    return {**row, "trials": 0, "total": None, "cost": "", "best": "", "seen": ""}
