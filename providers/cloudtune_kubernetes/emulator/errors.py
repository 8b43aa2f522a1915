"""Refusals as the API server words them: Status objects with a code, a reason and details."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudtune_kubernetes.emulator.kinds import Kind


class Refused(Exception):
    """A request is refused.

    Args:
        code: the HTTP status.
        reason: of the API, e.g. ``NotFound``.
        message: the text.
        details: of the Status object.
        headers: further headers of the answer, e.g. ``Retry-After``.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details = None if details is None else dict(details)
        self.headers = dict(headers or {})

    @property
    def status(self) -> dict[str, Any]:
        """The Status object."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({} if self.details is None else {"details": self.details}),
            "code": self.code,
        }


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of an invalid object.

    Attributes:
        field: its path, e.g. ``spec.template.spec.containers[0].image``.
        message: what is wrong with it.
        reason: of the API, e.g. ``FieldValueInvalid``.
    """

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def shown(value: Any) -> str:
    """Return a value as messages of the API show it."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def bad(field: str, value: Any, why: str) -> Cause:
    """Return that a value is invalid."""
    return Cause(field, f"Invalid value: {shown(value)}: {why}")


def lacking(field: str, why: str = "") -> Cause:
    """Return that a field is missing."""
    return Cause(field, f"Required value: {why}" if why else "Required value", "FieldValueRequired")


def unsupported(field: str, value: Any, values: Sequence[str]) -> Cause:
    """Return that a value is none of those that the API knows."""
    known = ", ".join(f'"{each}"' for each in values)
    return Cause(field, f"Unsupported value: {shown(value)}: supported values: {known}", "FieldValueNotSupported")


def forbidden_field(field: str, why: str) -> Cause:
    """Return that a field may not be set."""
    return Cause(field, f"Forbidden: {why}", "FieldValueForbidden")


def immutable(field: str, value: Any) -> Cause:
    """Return that a field may not change."""
    return Cause(field, f"Invalid value: {_go(value)}: field is immutable")


def _go(value: Any) -> str:
    return shown(value) if not isinstance(value, (dict, list)) else "{…}"


def _of(kind: Kind, name: str) -> dict[str, Any]:
    return {
        **({"name": name} if name else {}),
        **({"group": kind.group} if kind.group else {}),
        "kind": kind.plural,
    }


def not_found(kind: Kind, name: str) -> Refused:
    """Return the refusal of an object that does not exist."""
    return Refused(404, "NotFound", f'{kind.qualified} "{name}" not found', _of(kind, name))


def exists(kind: Kind, name: str) -> Refused:
    """Return the refusal of a second object of one name."""
    return Refused(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', _of(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> Refused:
    """Return the refusal of a change of something that has changed meanwhile."""
    said = why or "the object has been modified; please apply your changes to the latest version and try again"
    return Refused(
        409, "Conflict", f'Operation cannot be fulfilled on {kind.qualified} "{name}": {said}', _of(kind, name)
    )


def bound(name: str, node: str) -> Refused:
    """Return the refusal of a second node for a pod."""
    message = f'Operation cannot be fulfilled on pods/binding "{name}": pod {name} is already assigned to node "{node}"'
    return Refused(409, "Conflict", message, {"name": name, "kind": "pods/binding"})


def other(kind: Kind, name: str, why: str) -> Refused:
    """Return the refusal of a deletion whose preconditions do not hold."""
    message = f'Operation cannot be fulfilled on {kind.kind} "{name}": {why}'
    return Refused(409, "Conflict", message, {"name": name, "kind": kind.kind})


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> Refused:
    """Return the refusal of an object with faults."""
    said = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    group = f".{kind.group}" if kind.group else ""
    details = {
        **({"name": name} if name else {}),
        **({"group": kind.group} if kind.group else {}),
        "kind": kind.kind,
        "causes": [{"reason": each.reason, "message": each.message, "field": each.field} for each in causes],
    }
    return Refused(422, "Invalid", f'{kind.kind}{group} "{name}" is invalid: {text}', details)


def forbidden(kind: Kind, name: str, why: str) -> Refused:
    """Return the refusal of what is not permitted."""
    shown_name = f' "{name}"' if name else ""
    return Refused(403, "Forbidden", f"{kind.qualified}{shown_name} is forbidden: {why}", _of(kind, name))


def terminating(kind: Kind, name: str, namespace: str) -> Refused:
    """Return the refusal of a new object in a namespace that is to be deleted."""
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    refused = forbidden(
        kind, name, f"unable to create new content in namespace {namespace} because it is being terminated"
    )
    return Refused(403, "Forbidden", refused.message, {**(refused.details or {}), "causes": [cause]})


def bad_request(message: str) -> Refused:
    """Return the refusal of a request that cannot be understood."""
    return Refused(400, "BadRequest", message)


def gone(since: int, oldest: int) -> Refused:
    """Return the refusal of a watch or page that begins before what is kept."""
    return Refused(410, "Expired", f"too old resource version: {since} ({oldest})")


def no_such_path() -> Refused:
    """Return the refusal of a resource that the API does not have."""
    return Refused(404, "NotFound", "the server could not find the requested resource", {})


def no_such_method() -> Refused:
    """Return the refusal of a method that a resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return Refused(405, "MethodNotAllowed", message, {})
