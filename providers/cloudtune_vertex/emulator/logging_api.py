"""The REST API of Cloud Logging, as far as reading and writing entries goes.

https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries
"""

import json
from typing import Any

from werkzeug.wrappers import Response

from cloudtune.emulation.authority import CALLER, Ask, Authority
from cloudtune.emulation.bodies import Request
from cloudtune_vertex.emulator.entries import LogEntries
from cloudtune_vertex.emulator.errors import denied
from cloudtune_vertex.emulator.queries import BadQuery, compiled

_PAGE = 50
"""Entries of a page where no ``pageSize`` is given."""


class LoggingApi:
    """Cloud Logging over HTTP: a WSGI application.

    Args:
        entries: what it serves.
        authority: decides what callers may do.
    """

    def __init__(self, entries: LogEntries, authority: Authority) -> None:
        self._entries, self._authority = entries, authority

    def __call__(self, environ: Any, respond: Any) -> Any:
        request = Request(environ)
        body = request.get_json(silent=True) or {}
        operation = request.path.removeprefix("/v2/")
        missing = self._authority.denied(CALLER, *_asks(operation, body))
        if missing is not None:
            answer = Response(json.dumps(denied(missing).body), 403, mimetype="application/json")
        elif request.method == "POST" and operation == "entries:list":
            answer = self._list(body)
        elif request.method == "POST" and operation == "entries:write":
            answer = self._write(body)
        else:
            answer = _error(501, f"the emulator has no {request.method} {request.path}")
        return answer(environ, respond)

    def _list(self, body: dict[str, Any]) -> Response:
        try:
            entries = self._entries.matching(compiled(body.get("filter", "")))
        except BadQuery as error:
            return _error(400, str(error))
        projects = {name.removeprefix("projects/") for name in body.get("resourceNames", [])}
        entries = [entry for entry in entries if entry["logName"].split("/")[1] in projects]
        if body.get("orderBy", "timestamp asc").endswith("desc"):
            entries.reverse()
        begin, size = int(body.get("pageToken") or 0), int(body.get("pageSize") or _PAGE)
        more = {"nextPageToken": str(begin + size)} if len(entries) > begin + size else {}
        return _json({"entries": entries[begin : begin + size], **more})

    def _write(self, body: dict[str, Any]) -> Response:
        common: dict[str, Any] = {name: body[name] for name in ("logName", "resource", "labels") if name in body}
        for entry in body.get("entries", []):
            self._entries.write({"resource": {"type": "global", "labels": {}}, **common, **entry})
        return _json({})


def _asks(operation: str, body: dict[str, Any]) -> list[Ask]:
    """Return the permissions that a call takes, on each project that it names."""
    verb = {"entries:list": "list", "entries:write": "create"}.get(operation)
    named = [*body.get("resourceNames", []), *([body["logName"]] if "logName" in body else [])]
    projects = dict.fromkeys("/".join(str(name).split("/")[:2]) for name in named)
    return [] if verb is None else [Ask(f"logging.logEntries.{verb}", project) for project in projects]


def _json(value: dict[str, Any]) -> Response:
    return Response(json.dumps(value), mimetype="application/json")


def _error(status: int, message: str) -> Response:
    return Response(json.dumps({"error": {"code": status, "message": message}}), status, mimetype="application/json")
