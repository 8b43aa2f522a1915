"""Listen to what Azure answers to clients of its SDKs, for a comparison with the emulator."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline.transport import RequestsTransport

from cloudtune.provider.answers import Answer, Listener

_OF_PROVIDER = re.compile(r"/providers/Microsoft\.MachineLearningServices/(.+)", re.IGNORECASE)
_MLFLOW = re.compile(r"/api/2\.0/mlflow/(.+)")


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Give every answer to a request of an SDK of Azure, in this process, to a listener within the context."""
    transports: Any = RequestsTransport
    original = transports.send

    def send(transport: Any, request: Any, **named: Any) -> Any:
        response = original(transport, request, **named)
        operation = _operation(str(request.method), urlsplit(str(request.url)).path)
        if operation:
            error = str(response.status_code) if response.status_code >= 400 else ""
            listener(Answer(operation, error, {} if error else _body(response)))
        return response

    transports.send = send
    try:
        yield
    finally:
        transports.send = original


def _operation(method: str, path: str) -> str:
    """Return what a request asks for, without the names of things; "" for storage, whose answers are files."""
    mlflow = _MLFLOW.search(path)
    if mlflow is not None:
        return f"{method} mlflow {mlflow[1]}"
    found = _OF_PROVIDER.search(path)
    if found is None:
        return ""
    types = "/".join(found[1].split("/")[::2])
    return f"{method} {'history ' if path.startswith('/history/') else ''}{types}"


def _body(response: Any) -> Any:
    """Return the JSON of a response; nothing for other content, or one that is read as a stream."""
    if "json" not in str(response.headers.get("Content-Type", "")):
        return {}
    try:
        return response.internal_response.json()
    except ValueError:
        return {}
