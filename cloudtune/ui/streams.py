"""Server-sent events of what changes (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Nothing is queued for a client: each turn composes what is new since the last one that was sent, so that a slow client gets
fewer and larger messages, and one that was away goes on where it was by the id of its last event.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from cloudtune.errors import CloudtuneError
from cloudtune.ui.board import Board
from cloudtune.ui.encoding import encoded
from cloudtune.ui.live_run import Cursor
from cloudtune.ui.log_tail import LogTails

TURN = 0.25
"""Seconds between two turns."""

_HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, by which a broken connection shows."""


class Stream:
    """What one page follows.

    Args:
        board: of all runs.
        tails: of the logs.
        runs: ids of the runs whose trials, events and summaries are sent.
        log: run and trial whose log is sent; None for none.
        listed: whether the list of all runs is sent.
        last: the id of the last event that the client has got; "" for none.
    """

    def __init__(
        self,
        board: Board,
        tails: LogTails,
        *,
        runs: Sequence[str] = (),
        log: tuple[str, int] | None = None,
        listed: bool = False,
        last: str = "",
    ) -> None:
        self._board, self._tails = board, tails
        self._runs, self._log, self._listed = list(dict.fromkeys(runs)), log, listed
        had = dict(part.partition("=")[::2] for part in last.split("~"))
        self._cursors = {run: Cursor.of(had.get(str(place), "")) for place, run in enumerate(self._runs)}
        place = had.get("log", "")
        self._place = int(place) if place.isdecimal() and len(place) < 19 else 0
        self._summaries: dict[str, object] = {}
        self._problems: dict[str, str] = {}
        self._rows: object = None

    @property
    def _id(self) -> str:
        parts = [f"{place}={self._cursors[run]}" for place, run in enumerate(self._runs)]
        return "~".join([*parts, f"log={self._place}"])

    async def messages(self) -> AsyncIterator[str]:
        """Yield events as text until the client is gone, or the server ends."""
        watched = [*self._runs, *([""] if self._listed else [])]
        async with self._board.watching(*watched):
            silent = 0.0
            yield "retry: 1000\n\n"
            while not self._board.over():
                news = [each async for each in self._news()]
                for kind, data in news:
                    yield f"event: {kind}\nid: {self._id}\ndata: {encoded(data)}\n\n"
                silent = 0.0 if news else silent + TURN
                if silent >= _HEARTBEAT:
                    silent = 0.0
                    yield ": here\n\n"
                await asyncio.sleep(TURN)

    async def _news(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        if self._listed and self._board.rows() is not self._rows:
            self._rows = self._board.rows()
            yield "list", {"runs": self._rows}
        for run_id in self._runs:
            if found := await self._news_of(run_id):
                yield "run", {"id": run_id, **found}
        for run_id in ("", *self._runs):
            problem = self._board.problems.get(run_id, "")
            if problem != self._problems.get(run_id, ""):
                self._problems[run_id] = problem
                yield "problem", {"id": run_id, "problem": problem}
        if self._log is not None:
            run_id, number = self._log
            if lines := await self._new_lines(run_id, number):
                yield "log", {"run": run_id, "trial": number, **lines}

    async def _news_of(self, run_id: str) -> dict[str, Any]:
        def look() -> tuple[dict[str, Any], Cursor, object]:
            live = self._board.live(run_id)
            found = live.since(self._cursors[run_id], self._summaries.get(run_id))
            return found, live.cursor, live.summary()

        try:
            found, self._cursors[run_id], self._summaries[run_id] = await self._board.read(look)
        except CloudtuneError as error:
            self._board.problems[run_id] = str(error)
            return {}
        return found

    async def _new_lines(self, run_id: str, number: int) -> dict[str, Any]:
        try:
            stored = await self._board.read(self._board.stored, run_id)
        except CloudtuneError as error:
            self._log = None
            return {"lines": [], "left_out": 0, "over": True, "problem": str(error)}
        tail = self._tails.tail(stored.store.project, run_id, number)
        found = tail.since(self._place)
        if found:
            self._place = found.pop("place")
        if found.get("over"):
            self._log = None
        return found
