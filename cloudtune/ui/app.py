"""The server's addresses: the page's files, what it asks for, and what it may do."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cloudtune.errors import CloudtuneError, RunNotFound
from cloudtune.plugins.version import __version__
from cloudtune.report.comparing import comparison
from cloudtune.report.study import Study, trials_with_curves, with_curves
from cloudtune.report.tables import PLAN_COLUMNS, plan_rows
from cloudtune.results.tables import csv_bytes, report_rows, trial_rows
from cloudtune.ui.access import Access, Guard
from cloudtune.ui.actions import ACTIONS, act
from cloudtune.ui.board import Board
from cloudtune.ui.drawings import NAMES, drawn
from cloudtune.ui.encoding import encoded
from cloudtune.ui.log_tail import LogTails
from cloudtune.ui.streams import Stream

MAX_COMPARED = 10
"""Most runs beside each other."""

MAX_BODY = 100_000
"""Most bytes of a request's body."""

MAX_STREAMS = 32
"""Most pages that follow at the same time."""

_KINDS = {"js": "text/javascript", "css": "text/css", "html": "text/html", "svg": "image/svg+xml"}

Answer = Callable[[Request], Awaitable[Response]]


class Bad(Exception):  # an answer
    """A request that cannot be answered, with the code that says so."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Page:
    """The server of the page.

    Args:
        projects: the folders whose runs are shown.
        control: whether runs may be changed.
    """

    def __init__(self, projects: Sequence[Path], *, control: bool = False) -> None:
        self.board = Board(projects)
        self.control = control
        self.tails = LogTails()
        self._drawer = ThreadPoolExecutor(1, thread_name_prefix="charts")
        self._modeller = ThreadPoolExecutor(
            1, thread_name_prefix="model"
        )  # takes many seconds, for which no other chart waits
        self._actor = ThreadPoolExecutor(2, thread_name_prefix="actions")
        self._studies: dict[str, tuple[str, Study]] = {}
        self._drawn: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
        self._streams = 0

    def app(self, access: Access) -> Guard:
        """Return the ASGI application."""
        routes = [
            Route("/", _answered(self.page)),
            Route("/static/{name}", _answered(self.static)),
            Route("/api/about", _answered(self.about)),
            Route("/api/stream", _answered(self.stream)),
            Route("/api/charts", _answered(self.charts)),
            Route("/api/compare", _answered(self.compare)),
            Route("/api/plan", _answered(self.plan)),
            Route("/api/table", _answered(self.table)),
            Route("/api/act/{action}", _answered(self.act), methods=["POST"]),
        ]
        return Guard(Starlette(routes=routes), access)

    def close(self) -> None:
        """Begin no further reading and computing; what goes on is not waited for."""
        self.board.close()
        for pool in (self._drawer, self._modeller, self._actor):
            pool.shutdown(wait=False, cancel_futures=True)

    # Files

    async def page(self, request: Request) -> Response:  # noqa: ARG002  # it is the same for all
        """Answer with the page itself."""
        return _file("index.html")

    async def static(self, request: Request) -> Response:
        """Answer with a script or a style."""
        return _file(request.path_params["name"])

    async def about(self, request: Request) -> Response:  # noqa: ARG002  # it is the same for all
        """Answer with what the page may do."""
        return _json({"version": __version__, "control": self.control, "projects": list(map(str, self.board.projects))})

    # Runs

    async def stream(self, request: Request) -> Response:
        """Follow runs, the list of all, and a log; see `Stream`."""
        asked = request.query_params
        if self._streams >= MAX_STREAMS:
            raise Bad(503, f"{MAX_STREAMS} pages follow runs already; close some of them")
        runs = asked.getlist("run")
        if len(runs) > MAX_COMPARED:
            raise Bad(400, f"at most {MAX_COMPARED} runs can be followed at once")
        log = (asked["log"], _number(asked.get("trial", ""))) if "log" in asked else None
        last = request.headers.get("last-event-id") or asked.get("last", "")
        stream = Stream(self.board, self.tails, runs=runs, log=log, listed="list" in asked, last=last)

        async def counted() -> Any:
            self._streams += 1
            try:
                async for message in stream.messages():
                    yield message
            finally:
                self._streams -= 1

        return StreamingResponse(counted(), media_type="text/event-stream")

    async def charts(self, request: Request) -> Response:
        """Answer with charts of a run, by their names; 204 where they have not changed since the asked version."""
        run_id = _needed(request, "run")
        names = request.query_params.getlist("name")
        if not names or not set(names) <= set(NAMES):
            raise Bad(400, f"`name` is one of {', '.join(NAMES)}")
        version = (await self.board.read(self.board.live, run_id)).version
        if version == request.query_params.get("since"):
            return Response(status_code=204)
        begun = time.thread_time()
        found = {name: await self._charts(run_id, name, version) for name in names}
        took = max((each.get("took", 0.0) for each in found.values()), default=time.thread_time() - begun)
        return _json({"version": version, "took": took, "charts": found})

    async def _charts(self, run_id: str, name: str, version: str) -> dict[str, Any]:
        known = self._drawn.get((run_id, name))
        if known is not None and known[0] == version:
            return known[1]
        study = await self._study(run_id, version)
        loop = asyncio.get_running_loop()
        if name == "curves":
            chosen, _ = await loop.run_in_executor(self._drawer, trials_with_curves, study)
            live = await self.board.read(self.board.live, run_id)
            curves = await self.board.read(live.curves, chosen, study.objective.metric)
            study = with_curves(study, lambda trial: curves.get(trial.number, []))

        def draw() -> dict[str, Any]:
            begun = time.thread_time()
            made = drawn(study, name)
            return {**made, "took": time.thread_time() - begun}

        found = await loop.run_in_executor(self._modeller if name == "model" else self._drawer, draw)
        if len(self._drawn) > 200:
            self._drawn.clear()
        self._drawn[run_id, name] = version, found
        return found

    async def _study(self, run_id: str, version: str) -> Study:
        """Return the data of a run for charts, one for all charts of a version."""
        known = self._studies.get(run_id)
        if known is not None and known[0] == version:
            return known[1]
        live = await self.board.read(self.board.live, run_id)
        study = await self.board.read(live.study)
        if len(self._studies) > MAX_COMPARED:
            self._studies.clear()
        self._studies[run_id] = version, study
        return study

    async def compare(self, request: Request) -> Response:
        """Answer with charts of several runs beside each other."""
        runs = list(dict.fromkeys(request.query_params.getlist("run")))
        if not 2 <= len(runs) <= MAX_COMPARED:
            raise Bad(400, f"name 2 to {MAX_COMPARED} runs")
        studies = []
        for run_id in runs:
            version = (await self.board.read(self.board.live, run_id)).version
            studies.append(await self._study(run_id, version))
        begun = time.thread_time()
        found = await asyncio.get_running_loop().run_in_executor(self._drawer, comparison, studies)
        best = [
            {"id": each.record.id, "parameters": dict(each.best.parameters) if each.best else {}} for each in studies
        ]
        took = time.thread_time() - begun
        return _json({"charts": [["", chart.to_data()] for chart in found], "text": "", "best": best, "took": took})

    async def plan(self, request: Request) -> Response:
        """Answer with what becomes of each field of the job, and the job."""
        live = await self.board.read(self.board.live, _needed(request, "run"))

        def look() -> dict[str, Any]:
            study = live.study()
            changed, exact = plan_rows(study)
            columns = {"columns": PLAN_COLUMNS, "rows": changed, "exact": exact}
            return {**columns, "provider": study.plan.provider, "job": study.job.to_yaml()}

        return _json(await self.board.read(look))

    async def table(self, request: Request) -> Response:
        """Answer with the trials of a run, or their reports, as a file to save."""
        run_id, what = _needed(request, "run"), request.query_params.get("of", "trials")
        kind = request.query_params.get("as", "csv")
        if what not in ("trials", "reports") or kind not in ("csv", "json"):
            raise Bad(400, "`of` is trials or reports, and `as` csv or json")
        live = await self.board.read(self.board.live, run_id)

        def rows() -> list[dict[str, object]]:
            run = live.run
            return report_rows(run.reports()) if what == "reports" else trial_rows(run.trials(), run.job.constraints)

        clean = json.loads(encoded(await self.board.read(rows)))
        content = csv_bytes(clean) if kind == "csv" else json.dumps(clean, indent=2, ensure_ascii=False).encode()
        name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in run_id)
        headers = {"Content-Disposition": f'attachment; filename="{name}-{what}.{kind}"'}
        return Response(content, media_type="text/csv" if kind == "csv" else "application/json", headers=headers)

    # Control

    async def act(self, request: Request) -> Response:
        """Do something with a run, as far as the page may."""
        action = request.path_params["action"]
        if not self.control:
            raise Bad(403, "this page only looks; `cloudtune ui --control` lets it change runs")
        if action not in ACTIONS:
            raise Bad(404, f"there is no action {action!r}")
        body = await _body(request)
        run_id, given = body.get("run"), body.get("given", {})
        if not isinstance(run_id, str) or not isinstance(given, dict):
            raise Bad(400, "the body names a `run`, and what is `given`")
        stored = await self.board.read(self.board.stored, run_id)
        project = stored.store.project
        said = await asyncio.get_running_loop().run_in_executor(self._actor, act, project, run_id, action, given)
        return _json({"said": said})


async def _body(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Bad(415, "the body has to be JSON")
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise Bad(413, f"the body is longer than {MAX_BODY} bytes")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):  # which a body of brackets alone leads to
        raise Bad(400, "the body is no JSON") from None
    if not isinstance(body, dict):
        raise Bad(400, "the body is no mapping")
    return body


def _answered(answer: Answer) -> Answer:
    """Return the endpoint whose errors are answers, too."""

    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except Bad as error:
            return _json({"error": str(error)}, error.code)
        except RunNotFound as error:
            return _json({"error": str(error)}, 404)
        except CloudtuneError as error:
            return _json({"error": str(error)}, 409)

    return endpoint


def _json(data: object, code: int = 200) -> Response:
    return Response(encoded(data), code, media_type="application/json")


def _file(name: str) -> Response:
    kind = _KINDS.get(name.rpartition(".")[2])
    if kind is None or "/" in name or name.startswith("."):
        raise Bad(404, "there is no such file")
    for room in (files("cloudtune.ui") / "static", files("cloudtune.report") / "web"):
        if (room / name).is_file():
            return Response((room / name).read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})
    raise Bad(404, "there is no such file")


def _needed(request: Request, name: str) -> str:
    found = request.query_params.get(name)
    if not found:
        raise Bad(400, f"`{name}` is missing")
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Bad(400, f"{text!r} is no number of a trial")
    return int(text)
