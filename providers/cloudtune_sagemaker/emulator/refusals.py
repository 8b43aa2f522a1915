"""The errors that SageMaker answers with."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moto.sagemaker.exceptions import SagemakerClientError

if TYPE_CHECKING:
    from cloudtune_sagemaker.schema import Violation


def invalid(message: str) -> SagemakerClientError:
    """A request whose values the service does not accept."""
    return SagemakerClientError("ValidationException", message)


def not_found(message: str) -> SagemakerClientError:
    """Something that the request names does not exist."""
    return SagemakerClientError("ResourceNotFound", message)


def in_use(message: str) -> SagemakerClientError:
    """A name is taken, or something cannot be deleted yet."""
    return SagemakerClientError("ResourceInUse", message)


def over_limit(message: str) -> SagemakerClientError:
    """A quota of the account is used up."""
    return SagemakerClientError("ResourceLimitExceeded", message)


def check(request: Mapping[str, Any], operation: str) -> None:
    """Refuses a request that breaks a rule of the service.

    Args:
        request: its members.
        operation: e.g. ``CreateTrainingJob``.

    Raises:
        SagemakerClientError: a ValidationException that lists every broken rule, in the words of the service.
    """
    from cloudtune_sagemaker.rules import problems  # noqa: PLC0415  # botocore's model is loaded when there is a request

    found = problems(request, operation)
    if found:
        head = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise invalid(head + "; ".join(_in_words(request, violation) for violation in found))


def _in_words(request: Mapping[str, Any], violation: "Violation") -> str:
    path = ".".join(part[:1].lower() + part[1:] for part in violation.path.split("."))
    value = _value_at(request, violation.path)
    shown = "" if value is None else f" '{value if isinstance(value, str) else json.dumps(value, default=str)}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {violation.message}"


def _value_at(request: Mapping[str, Any], path: str) -> Any:
    """What a request has at a path such as ``A.B[0].C``; None for nothing."""
    found: Any = request
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found
