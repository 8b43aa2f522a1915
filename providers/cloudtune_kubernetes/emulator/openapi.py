"""The OpenAPI documents of the API, made from the official client's models: what kubectl validates and explains with."""

import functools
import hashlib
import json
from typing import Any

from kubernetes import client

from cloudtune_kubernetes.emulator.kinds import Kind, Kinds
from cloudtune_kubernetes.emulator.model import Type, descriptions_of, fields_of, models_of, required_of
from cloudtune_kubernetes.emulator.patches import KEYS, SETS

_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"}, "bool": {"type": "boolean"}, "int": {"type": "integer"}, "float": {"type": "number"},
    "datetime": {"type": "string", "format": "date-time"}, "bytes": {"type": "string", "format": "byte"}, "object": {},
}  # fmt: skip
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
            "application/strategic-merge-patch+json")  # fmt: skip


def _of(kind: Type, at: str) -> dict[str, Any]:
    if kind.form == "list":
        assert kind.item is not None
        return {"type": "array", "items": _of(kind.item, at)}
    if kind.form == "map":
        assert kind.item is not None
        return {"type": "object", "additionalProperties": _of(kind.item, at)}
    return {"$ref": f"{at}{kind.of}"} if kind.form == "model" else dict(_PLAIN[kind.of])


@functools.cache
def schema(model: str, at: str) -> dict[str, Any]:
    """Return the schema of a model, with references below a path."""
    said, needed = descriptions_of(model), required_of(model)
    properties = {}
    for name, kind in fields_of(model).items():
        made = _of(kind, at)
        if kind.form == "list" and kind.item is not None and kind.item.of in KEYS:
            keys = KEYS[kind.item.of]
            made |= {
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys),
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": keys[0],
            }  # fmt: skip
        elif (model, name) in SETS:
            made |= {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
        if name in said and "$ref" not in made:
            made["description"] = said[name]
        properties[name] = made
    lines = [line.strip() for line in (getattr(client, model).__doc__ or "").strip().splitlines()]
    text = lines[0] if lines and "auto generated" not in lines[0] else ""
    return {
        **({"description": text} if text else {}),
        "type": "object",
        "properties": properties,
        **({"required": list(needed)} if needed else {}),
    }


def _marked(kind: Kind, made: dict[str, Any]) -> dict[str, Any]:
    return {
        **made,
        "x-kubernetes-group-version-kind": [{"group": kind.group, "version": kind.version, "kind": kind.kind}],
    }


def _schemas(kinds: list[Kind], at: str, custom: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for kind in kinds:
        if not kind.model:
            made[f"{kind.version}{kind.kind}"] = _marked(kind, custom.get(kind.qualified) or _FREE)
            continue
        for model in models_of(kind.model):
            made.setdefault(model, schema(model, at))
        made[kind.model] = _marked(kind, made[kind.model])
    return made


_FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _paths(kind: Kind, at: str) -> dict[str, Any]:
    """Return the paths of a kind, with what clients look for in them: the actions, the kinds and the query's parameters."""
    base = f"{kind.at}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{kind.at}/{kind.plural}"
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    reference = {"$ref": f"{at}{kind.model or f'{kind.version}{kind.kind}'}"}
    content = {"application/json": {"schema": reference}}

    def operation(action: str, *names: str, patches: bool = False) -> dict[str, Any]:
        parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
        sent: dict[str, Any] = {name: {"schema": {"type": "object"}} for name in _PATCHES} if patches else content
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "parameters": parameters,
            **({"requestBody": {"content": sent}} if action in ("post", "put", "patch") else {}),
            "responses": {"200": {"description": "OK", "content": content}},
        }

    writes = ("dryRun", "fieldManager", "fieldValidation")
    many: dict[str, Any] = {"get": operation("list", "labelSelector", "fieldSelector", "limit", "continue", "watch")}
    one: dict[str, Any] = {
        "get": operation("get"),
        "put": operation("put", *writes),
        "patch": operation("patch", *writes, "force", patches=True),
        "delete": operation("delete", "dryRun", "gracePeriodSeconds", "propagationPolicy"),
    }
    if "create" in kind.verbs:
        many["post"] = operation("post", *writes)
    if "get" not in kind.verbs:
        return {base: {"post": many["post"]}}
    return {base: many, f"{base}/{{name}}": one}


@functools.lru_cache(maxsize=8)
def _document(kinds: tuple[Kind, ...], custom: str) -> str:
    at = "#/components/schemas/"
    paths = {path: made for kind in kinds for path, made in _paths(kind, at).items()}
    return json.dumps({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": _schemas(list(kinds), at, json.loads(custom))},
    })  # fmt: skip


def _patched(kind: Kind) -> dict[str, Any]:
    """Return the path of a kind's objects with the parameters of a patch: by these clients know what the server can do."""
    (path,) = (each for each in _paths(kind, "#/definitions/") if each.endswith("{name}"))
    parameters = [
        {"name": name, "in": "query", "type": "string"}
        for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    responses = {"200": {"description": "OK"}}
    return {path: {"patch": {"parameters": parameters, "responses": responses, "x-kubernetes-group-version-kind": gvk}}}


def v3(kinds: Kinds, group: str, version: str, custom: dict[str, Any]) -> str | None:
    """Return the document of a group's version, in JSON; None if there is none.

    Args:
        kinds: that are served.
        group: its name.
        version: of it.
        custom: the schemas of custom resources, by their qualified names.
    """
    held = kinds.groups().get(group, {}).get(version)
    return None if held is None else _document(tuple(held), json.dumps(custom, sort_keys=True))


def v3_index(kinds: Kinds, custom: dict[str, Any]) -> dict[str, Any]:
    """Return where the documents of all groups are."""
    made = {}
    for group, versions in kinds.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            text = v3(kinds, group, version, custom) or ""
            made[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(text.encode()).hexdigest()}"}
    return {"paths": made}


def v2(kinds: Kinds, custom: dict[str, Any]) -> dict[str, Any]:
    """Return the document of everything in OpenAPI's second version; of the paths, where and how objects are patched."""
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": {path: made for kind in kinds if "patch" in kind.verbs for path, made in _patched(kind).items()},
        "definitions": _schemas(list(kinds), "#/definitions/", custom),
    }
