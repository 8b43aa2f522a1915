"""The API server as a WSGI application."""

import base64
import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from werkzeug.wrappers import Request, Response

from cloudtune.emulation.access import Environ, Refusal
from cloudtune.emulation.authority import Authority
from cloudtune.emulation.serving import cut
from cloudtune_kubernetes.emulator import discovery, errors, openapi, openapi_protobuf, permissions, tables
from cloudtune_kubernetes.emulator.calls import (
    Call,
    body_of,
    call_of,
    number,
    options_of,
    wants_aggregated,
    wants_table,
)
from cloudtune_kubernetes.emulator.credentials import USER, Tokens
from cloudtune_kubernetes.emulator.faults import Faults
from cloudtune_kubernetes.emulator.kinds import ACCESS_REVIEW, CRD, POD, PVC, RULES_REVIEW, SERVICE_ACCOUNT, Kind
from cloudtune_kubernetes.emulator.logs import LogRequest
from cloudtune_kubernetes.emulator.registry import Registry, apply_patch
from cloudtune_kubernetes.emulator.selectors import selected
from cloudtune_kubernetes.emulator.store import Object, place_of
from cloudtune_kubernetes.emulator.watching import Watch, is_gone

_HEAD = b""
"""Has the head of an answer sent before there is anything to say: clients wait for it."""

_HEALTH = ("/healthz", "/livez", "/readyz")


class Nodes(Protocol):
    """What the API server asks of nodes."""

    def logs(self, pod: Object, request: LogRequest, gone: Callable[[], bool]) -> Iterable[bytes]:
        """Return the output of a container.

        Raises:
            Refused: there is no such container, or it has not started.
        """

    def evict(self, namespace: str, name: str) -> None:
        """Evict a pod by the eviction API.

        Raises:
            Refused: there is none.
        """

    def bind(self, namespace: str, name: str, node: str) -> None:
        """Give a pod to a node.

        Raises:
            Refused: there is none, or it has a node already.
        """


def not_admitted(environ: Environ, refusal: Refusal, respond: Any) -> Iterable[bytes]:
    """Answer a request without valid credentials."""
    if refusal.kind == "foreign":
        refused = errors.Refused(403, "Forbidden", refusal.message)
    else:
        refused = errors.Refused(401, "Unauthorized", "Unauthorized")
    return _refusal(refused)(environ, respond)


class Api:
    """The API server.

    Args:
        registry: the objects.
        nodes: what runs the pods.
        tokens: what lets in.
        authority: decides what is permitted.
        faults: what goes wrong on purpose.
        served: called with the operation of every call.
        address: returns the server's ``host:port``.
    """

    def __init__(
        self,
        registry: Registry,
        nodes: Nodes,
        *,
        tokens: Tokens,
        authority: Authority,
        faults: Faults,
        served: Callable[[str], None],
        address: Callable[[], str],
    ) -> None:
        self._registry, self._nodes, self._tokens = registry, nodes, tokens
        self._authority, self._faults, self._served, self._address = authority, faults, served, address

    def __call__(self, environ: Environ, respond: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            call = call_of(self._registry.kinds, request)
            if call is None:
                return self._document(request)(environ, respond)
            return self._called(call, request, environ, respond)
        except errors.Refused as refused:
            return _refusal(refused)(environ, respond)

    def _called(self, call: Call, request: Request, environ: Environ, respond: Any) -> Iterable[bytes]:
        self._served(call.operation)
        user = self._tokens.user(environ)
        fault = self._faults.of_call("api" if user == USER else "pod", call.operation)
        if fault == "throttle":
            message = "the server has received too many requests and has asked us to try again later"
            raise errors.Refused(429, "TooManyRequests", message, {"retryAfterSeconds": 1}, {"Retry-After": "1"})
        if fault == "error":
            raise errors.Refused(500, "InternalError", "Internal error occurred: etcdserver: request timed out", {})
        if fault == "expired":
            raise errors.Refused(401, "Unauthorized", "Unauthorized")
        permissions.need(self._authority, self._tokens.principal(environ), user, call)
        answer = self._answer(call, request)
        if fault == "lost":
            answer.close()
            cut(environ)
            raise ConnectionAbortedError("the answer is lost on purpose")
        return answer(environ, respond)

    # Documents

    def _document(self, request: Request) -> Response:
        kinds, path = self._registry.kinds, request.path.rstrip("/")
        if request.method not in ("GET", "HEAD"):
            raise errors.no_such_method()
        if path in _HEALTH:
            return Response("ok", mimetype="text/plain")
        if path == "/version":
            return _json(discovery.version())
        if path in ("/api", "/apis") and wants_aggregated(request):
            made = discovery.aggregated(kinds, core=path == "/api")
            return Response(
                json.dumps(made), content_type="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            )
        if path == "/openapi/v2":
            document = openapi.v2(kinds, self._schemas())
            accepted = request.headers.get("Accept", "")
            if "protobuf" in accepted and "json" not in accepted and "*/*" not in accepted:
                return Response(openapi_protobuf.encoded(document), content_type=openapi_protobuf.FORM)
            return _json(document)
        found = self._found(path)
        return Response("404 page not found\n", 404, mimetype="text/plain") if found is None else found

    def _found(self, path: str) -> Response | None:
        kinds = self._registry.kinds
        parts = path.strip("/").split("/")
        if path == "/openapi/v3":
            return _json(openapi.v3_index(kinds, self._schemas()))
        if parts[:2] == ["openapi", "v3"]:
            group, version = (
                ("", parts[3]) if len(parts) == 4 else (parts[3], parts[4]) if len(parts) == 5 else ("", "")
            )
            text = openapi.v3(kinds, group, version, self._schemas())
            return None if text is None else Response(text, mimetype="application/json")
        made: dict[str, Any] | None = None
        if path == "/api":
            made = discovery.core_versions(self._address())
        elif path == "/apis":
            made = discovery.groups(kinds)
        elif parts[0] == "api" and len(parts) == 2:
            made = discovery.resources(kinds, "", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            made = discovery.group_answer(kinds, parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            made = discovery.resources(kinds, parts[1], parts[2])
        return None if made is None else _json(made)

    def _schemas(self) -> dict[str, Any]:
        """Return the schemas of custom resources, by their qualified names."""
        return {
            each["metadata"]["name"]: (each["spec"]["versions"][0].get("schema") or {}).get("openAPIV3Schema") or {}
            for each in self._registry.store.objects(CRD)
        }

    # Objects

    def _answer(self, call: Call, request: Request) -> Response:
        if call.part and call.part != "status":
            return self._part(call, request)
        if call.kind in (ACCESS_REVIEW, RULES_REVIEW):
            return self._review(call, request)
        answers: dict[str, Callable[[Call, Request], Response]] = {
            "get": self._get, "list": self._list, "watch": self._watch, "create": self._create, "update": self._update,
            "patch": self._patch, "delete": self._delete, "deletecollection": self._delete_all,
        }  # fmt: skip
        return answers[call.verb](call, request)

    def _get(self, call: Call, request: Request) -> Response:
        return self._shown(call, request, self._registry.get(call.kind, call.namespace, call.name))

    def _shown(
        self, call: Call, request: Request, made: Object, status: int = 200, warnings: Iterable[str] = ()
    ) -> Response:
        if wants_table(request):
            meta = {"resourceVersion": made["metadata"].get("resourceVersion", "")}
            shown = tables.table(
                call.kind, [made], meta, call.query.get("includeObject", "Metadata"), self._columns(call.kind)
            )
            return _json(shown, status, warnings)
        return _json(made, status, warnings)

    def _columns(self, kind: Kind) -> list[dict[str, Any]]:
        found = self._registry.store.get(CRD, "", kind.qualified)
        return [] if found is None else found["spec"]["versions"][0].get("additionalPrinterColumns") or []

    def _list(self, call: Call, request: Request) -> Response:
        holds = selected(call.kind, call.query.get("labelSelector", ""), call.query.get("fieldSelector", ""))
        if call.query.get("fieldSelector", "").startswith("metadata.name=") and call.query.get("watch"):
            return self._watch(call, request)
        store = self._registry.store
        with store.lock:
            revision, found = store.revision, self._registry.select(call.kind, call.namespace, holds)
        meta: dict[str, Any] = {"resourceVersion": str(revision)}
        found, more = self._page(call, found, revision, meta)
        meta |= more
        if wants_table(request):
            include = call.query.get("includeObject", "Metadata")
            return _json(tables.table(call.kind, found, meta, include, self._columns(call.kind)))
        items = [_bare(each) for each in found] if call.kind.model else found
        made = {"kind": f"{call.kind.kind}List", "apiVersion": call.kind.api_version, "metadata": meta, "items": items}
        return _json(made)

    def _page(
        self, call: Call, found: list[Object], revision: int, meta: dict[str, Any]
    ) -> tuple[list[Object], dict[str, Any]]:
        """Return a page of objects, and what its metadata says of the next one."""
        limit, token = number(call, "limit", 0), call.query.get("continue", "")
        if token:
            try:
                given = json.loads(base64.urlsafe_b64decode(token))
                start, since = tuple(given["start"]), int(given["rv"])
            except (ValueError, KeyError, TypeError):
                raise errors.bad_request("invalid continue token: continue key is not valid") from None
            if since < self._registry.store.collection(call.kind).oldest:
                message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter."
                raise errors.Refused(410, "Expired", message)
            meta["resourceVersion"], revision = str(since), since
            found = [each for each in found if place_of(each) > start]
        if limit <= 0 or len(found) <= limit:  # as the API server, to which a negative one is none
            return found, {}
        last = place_of(found[limit - 1])
        following = base64.urlsafe_b64encode(json.dumps({"rv": revision, "start": last}).encode()).decode()
        plain = not call.query.get("labelSelector") and not call.query.get("fieldSelector")
        more = {"continue": following, **({"remainingItemCount": len(found) - limit} if plain else {})}
        return found[:limit], more

    def _watch(self, call: Call, request: Request) -> Response:
        fields = call.query.get("fieldSelector", "")
        if call.name:
            fields = f"metadata.name={call.name}"
        holds = selected(call.kind, call.query.get("labelSelector", ""), fields)
        connection = request.environ.get("werkzeug.socket")
        watch = Watch(
            self._registry.store, call, holds, as_table=wants_table(request), columns=self._columns(call.kind),
            connection=connection, cuts=lambda: self._faults.cuts(call.operation),
        )  # fmt: skip

        def lines() -> Iterable[bytes]:
            yield _HEAD
            yield from watch.events()
            if watch.cut:
                cut(request.environ)

        return Response(lines(), mimetype="application/json")

    def _create(self, call: Call, request: Request) -> Response:
        options = options_of(call)
        made = self._registry.create(call.kind, call.namespace, body_of(request, call.kind), options)
        return self._shown(call, request, made, 201, options.warnings)

    def _update(self, call: Call, request: Request) -> Response:
        self._conflict(call)
        options = options_of(call)
        body = body_of(request, call.kind)
        made = self._registry.update(call.kind, call.namespace, call.name, body, options, call.part)
        return self._shown(call, request, made, 200, options.warnings)

    def _patch(self, call: Call, request: Request) -> Response:
        self._conflict(call)
        options = options_of(call)
        body = body_of(request, call.kind)
        if request.mimetype == "application/apply-patch+yaml":
            made, created = self._registry.apply(
                call.kind, call.namespace, call.name, body, call.query, options, call.part
            )
            return self._shown(call, request, made, 201 if created else 200, options.warnings)
        change = apply_patch(call.kind, request.mimetype, body)
        made = self._registry.patch(call.kind, call.namespace, call.name, change, options, call.part)
        return self._shown(call, request, made, 200, options.warnings)

    def _conflict(self, call: Call) -> None:
        if self._faults.conflicts_with(call.operation):
            raise errors.conflict(call.kind, call.name)

    def _delete(self, call: Call, request: Request) -> Response:
        options = options_of(call, body_of(request, call.kind))
        made, is_gone_now = self._registry.delete(call.kind, call.namespace, call.name, options)
        if is_gone_now and call.kind not in (POD, PVC, SERVICE_ACCOUNT):
            details = {
                "name": call.name,
                **({"group": call.kind.group} if call.kind.group else {}),
                "kind": call.kind.plural,
                "uid": made["metadata"]["uid"],
            }
            done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
            return _json(done, 200, options.warnings)
        return _json(made, 200, options.warnings)

    def _delete_all(self, call: Call, request: Request) -> Response:
        options = options_of(call, body_of(request, call.kind))
        holds = selected(call.kind, call.query.get("labelSelector", ""), call.query.get("fieldSelector", ""))
        store = self._registry.store
        with store.lock:
            found = self._registry.select(call.kind, call.namespace, holds)
            done = [self._registry.delete(call.kind, *place_of(each), options)[0] for each in found]
            revision = store.revision
        items = [_bare(each) for each in done] if call.kind.model else done
        made = {
            "kind": f"{call.kind.kind}List", "apiVersion": call.kind.api_version,
            "metadata": {"resourceVersion": str(revision)}, "items": items,
        }  # fmt: skip
        return _json(made, 200, dict.fromkeys(options.warnings))

    # Subresources and reviews

    def _part(self, call: Call, request: Request) -> Response:
        if call.part == "log":
            return self._log(call, request)
        body = body_of(request, call.kind)
        if call.part == "eviction":
            self._nodes.evict(call.namespace, call.name)
        elif call.part == "binding":
            self._nodes.bind(call.namespace, call.name, ((body or {}).get("target") or {}).get("name", ""))
        else:
            self._registry.get(call.kind, call.namespace, call.name)
            token = self._tokens.of_account(call.namespace, call.name)
            return _json(
                {**(body or {}), "status": {"token": token, "expirationTimestamp": "2106-02-07T06:28:15Z"}}, 201
            )
        return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)

    def _log(self, call: Call, request: Request) -> Response:
        pod = self._registry.get(call.kind, call.namespace, call.name)
        asked = LogRequest.of(call.query)
        if not pod["spec"].get("nodeName"):
            return Response(status=204)
        connection = request.environ.get("werkzeug.socket")
        chunks = self._nodes.logs(pod, asked, lambda: is_gone(connection))

        def told() -> Iterable[bytes]:
            yield _HEAD
            for chunk in chunks:
                yield chunk
                if asked.follow and self._faults.cuts(call.operation):
                    cut(request.environ)
                    return

        return Response(told(), mimetype="text/plain")

    def _review(self, call: Call, request: Request) -> Response:
        principal = self._tokens.principal(request.environ)
        made = body_of(request, call.kind) or {}
        head = {"kind": call.kind.kind, "apiVersion": call.kind.api_version}
        if call.kind == ACCESS_REVIEW:
            return _json({**head, **permissions.access_review(self._authority, principal, made)}, 201)
        policy = self._authority.policy(principal)
        rules = None
        if isinstance(policy, permissions.RolePolicy):
            rules = policy.rules((made.get("spec") or {}).get("namespace", ""))
        return _json({**head, **permissions.rules_review(rules, made)}, 201)


def _bare(each: Object) -> Object:
    """Return an object as lists of built-in kinds have it."""
    return {name: value for name, value in each.items() if name not in ("kind", "apiVersion")}


def _json(value: Any, status: int = 200, warnings: Iterable[str] = ()) -> Response:
    answer = Response(json.dumps(value, separators=(",", ":")), status, mimetype="application/json")
    for text in warnings:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        answer.headers.add("Warning", f'299 - "{quoted}"')
    answer.headers["Cache-Control"] = "no-cache, private"
    return answer


def _refusal(refused: errors.Refused) -> Response:
    answer = _json(refused.status, refused.code)
    for name, value in refused.headers.items():
        answer.headers[name] = value if name != "Retry-After" else str(math.ceil(float(value)))
    return answer
