"""Requests of the API taken apart: which kind, object and subresource, what is done with it, and with which options."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from werkzeug.wrappers import Request

from cloudtune.emulation.authority import Ask
from cloudtune_kubernetes.emulator import errors, protobuf
from cloudtune_kubernetes.emulator.kinds import Kind, Kinds
from cloudtune_kubernetes.emulator.registry import Options

_MOST = 3 * 1024 * 1024
"""Bytes of the largest request ("Request entity too large: limit is 3145728")."""

_TABLE = "as=Table"


_PATCHES = frozenset({"application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml",
                      "application/strategic-merge-patch+json"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """A request for objects.

    Attributes:
        kind: of the objects.
        verb: get, list, watch, create, update, patch, delete or deletecollection.
        namespace: "" for none, or for all.
        name: of the object; "" for a collection.
        part: the subresource; "" for none.
        query: the parameters.
    """

    kind: Kind
    verb: str
    namespace: str
    name: str
    part: str
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """Its name for counts and faults, e.g. ``GetPodLog``."""
        return f"{self.verb.capitalize()}{self.kind.kind}{self.part.capitalize()}"

    @property
    def ask(self) -> Ask:
        """What is asked of a policy."""
        resource = f"{self.kind.group}/{self.kind.plural}{f'/{self.part}' if self.part else ''}"
        return Ask(self.verb, resource, (("namespace", self.namespace), ("name", self.name)))


def call_of(kinds: Kinds, request: Request) -> Call | None:
    """Return the call that a request is; None if its path is none of objects.

    Raises:
        Refused: there is no such resource, or no such method of it.
    """
    parts = [part for part in request.path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if version not in kinds.groups().get(group, {}):
        return None
    kind = kinds.at(group, version, rest[0])
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        raise errors.no_such_path()
    name, part = (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")
    verbs = dict(kind.subresources).get(part, ()) if part else kind.verbs
    if part and not verbs:
        raise errors.no_such_path()
    verb = _verb(request, name)
    if verb not in verbs or (verb == "create" and kind.namespaced and not namespace):
        raise errors.no_such_method()
    if verb == "create" and name and not part:
        raise errors.no_such_method()
    return Call(kind, verb, namespace, name, part, dict(request.args.items()))


def _verb(request: Request, name: str) -> str:
    if request.method in ("GET", "HEAD"):
        if request.args.get("watch") in ("true", "1"):
            return "watch"
        return "get" if name else "list"
    if request.method == "DELETE":
        return "delete" if name else "deletecollection"
    if request.method in ("PUT", "PATCH") and not name:
        return ""
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, "")


def body_of(request: Request, kind: Kind) -> Any:
    """Return the body of a request, of JSON, YAML, or for a few kinds the API's protobuf form; None for none.

    Raises:
        Refused: it cannot be read, or is too large.
    """
    form = request.mimetype
    if request.method == "PATCH" and form not in _PATCHES:
        raise errors.Refused(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    data = _limited(request)
    if form == "application/vnd.kubernetes.protobuf":
        try:
            return protobuf.read(data)
        except protobuf.Unreadable as error:
            message = f"the body of the request cannot be read: {error}"
            raise errors.Refused(415, "UnsupportedMediaType", message, {}) from None
    if form in ("application/yaml", "application/apply-patch+yaml"):
        try:
            return yaml.load(data, _Plain)  # noqa: S506  # a SafeLoader
        except (yaml.YAMLError, RecursionError) as error:
            raise errors.bad_request(f"error decoding YAML: {error}") from None
    if form and not form.endswith("json"):
        known = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        message = f"the body of the request was in an unknown format - accepted media types include: {known}"
        raise errors.Refused(415, "UnsupportedMediaType", message, {})
    return _of_json(data, kind)


class _Plain(yaml.SafeLoader):
    """Reads YAML without aliases, by which some hundred bytes become gigabytes, or hold themselves."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # nodes of PyYAML
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read here")
        return super().compose_node(parent, index)


def _limited(request: Request) -> bytes:
    refused = errors.Refused(413, "RequestEntityTooLarge", f"Request entity too large: limit is {_MOST}", {})
    if (request.content_length or 0) > _MOST:
        raise refused
    data = request.get_data(cache=False)
    if len(data) > _MOST:
        raise refused
    return data


def _of_json(data: bytes, kind: Kind) -> Any:
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        message = f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; json parse error: {error}"
        raise errors.bad_request(message) from None


def options_of(call: Call, body: Any = None) -> Options:
    """Return the options of a write, of its parameters and, for a deletion, its body.

    Raises:
        Refused: one of them has no meaning.
    """
    given: dict[str, Any] = dict(call.query)
    if isinstance(body, dict) and call.verb.startswith("delete"):
        known = ("gracePeriodSeconds", "propagationPolicy", "preconditions", "dryRun", "orphanDependents")
        given |= {name: value for name, value in body.items() if name in known and value is not None}
    dry = given.get("dryRun")
    if dry not in (None, [], "All", ["All"]):
        raise errors.bad_request(f'dryRun: Unsupported value: {dry}: supported values: "All"')
    validation = given.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise errors.bad_request(f'fieldValidation: Unsupported value: "{validation}"')
    policy = given.get("propagationPolicy") or ""
    if given.get("orphanDependents") is not None:
        policy = "Orphan" if given["orphanDependents"] in (True, "true") else "Background"
    if policy not in ("", "Background", "Foreground", "Orphan"):
        raise errors.Refused(
            422, "Invalid", f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "{policy}"', {}
        )
    wanted = given.get("preconditions") or {}
    return Options(
        dry_run=bool(dry), validation=validation, propagation=policy, grace=_whole(given.get("gracePeriodSeconds")),
        uid=wanted.get("uid") or "", revision=wanted.get("resourceVersion") or "",
    )  # fmt: skip


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise errors.bad_request(f'gracePeriodSeconds: strconv.ParseInt: parsing "{value}": invalid syntax') from None


def number(call: Call, name: str, default: int) -> int:
    """Return a parameter that is a whole number.

    Raises:
        Refused: it is none.
    """
    text = call.query.get(name) or ""
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def wants_table(request: Request) -> bool:
    """Return whether the client wants objects as a table."""
    first = request.headers.get("Accept", "").split(",")[0]
    return _TABLE in first and "meta.k8s.io" in first


def wants_aggregated(request: Request) -> bool:
    """Return whether the client wants discovery in its aggregated form."""
    accepted = request.headers.get("Accept", "").split(",")
    return any("as=APIGroupDiscoveryList" in each and "v=v2" in each.split(";") for each in accepted)
