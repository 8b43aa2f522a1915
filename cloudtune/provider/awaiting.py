"""Wait for the end of a run from a coroutine, while others go on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cloudtune.driver.follower import RunFollower
from cloudtune.provider.handle import RunHandle
from cloudtune.results.progress import Progress, Watcher
from cloudtune.store.records import RunState

_LOOK = 0.2
"""Seconds between two looks at a run whose driver keeps the store up to date."""

_ASK = 5.0
"""Seconds between two questions to a service that runs a job by itself."""


async def finished(make: Callable[[], RunHandle], watcher: Watcher | None, *, asks: bool) -> RunState:
    """Start a run if nobody has, and return its state once it has ended or is interrupted. See `cloudtune.Run.finished`.

    Args:
        make: returns the run with a connection to the store of its own; called in the thread that uses it.
        watcher: called in the event loop with the progress, after each look.
        asks: whether a service has to be asked how the run goes.
    """
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="await run")  # one: a connection belongs to its thread
    try:
        seen = _Look(await loop.run_in_executor(thread, make))
        await loop.run_in_executor(thread, seen.begin)
        while True:
            state, progress = await loop.run_in_executor(thread, seen.look)
            if watcher is not None:
                watcher(progress)
            if state.ended or state is RunState.INTERRUPTED:
                return state
            await asyncio.sleep(_ASK if asks else _LOOK)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


class _Look:
    """Looks at one run, in a thread.

    Args:
        run: the run.
    """

    def __init__(self, run: RunHandle) -> None:
        self._run = run
        self._follower: RunFollower | None = None

    def begin(self) -> None:
        """Start the run if it never was."""
        if self._run.state is RunState.WAITING:
            self._run.start()
        self._follower = self._run.follower()

    def look(self) -> tuple[RunState, Progress]:
        """Refresh the run; return its state and progress."""
        assert self._follower is not None
        state = self._run.refresh()
        return state, self._follower.progress()
