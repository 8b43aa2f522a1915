"""Listen to what Google's services answer to their clients, for a comparison with the emulator."""

import contextlib
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud._http import JSONConnection
from google.protobuf import json_format

from cloudtune.provider.answers import Answer, Listener
from cloudtune_vertex.client import Google


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Give every answer to JobService's clients of this library, and to JSON clients, to a listener within the context."""
    clients: Any = Google
    connections: Any = JSONConnection
    jobs, original = vars(Google)["jobs"], connections.api_request

    def request(connection: Any, *arguments: Any, **named: Any) -> Any:
        operation = f"{named.get('method', 'GET')} {_without_names(str(named.get('path', '')))}"
        return _heard(operation, listener, lambda: original(connection, *arguments, **named), lambda found: found)

    heard: Any = cached_property(lambda google: _Heard(jobs.func(google), listener))
    heard.__set_name__(Google, "jobs")
    clients.jobs, connections.api_request = heard, request
    try:
        yield
    finally:
        clients.jobs, connections.api_request = jobs, original


class _Heard:
    """A client whose calls are heard."""

    def __init__(self, client: Any, listener: Listener) -> None:
        self._client, self._listener = client, listener

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        if not callable(member):
            return member

        def call(*arguments: Any, **named: Any) -> Any:
            return _heard(name, self._listener, lambda: member(*arguments, **named), _plain)

        return call


def _heard(operation: str, listener: Listener, call: Callable[[], Any], plain: Callable[[Any], Any]) -> Any:
    try:
        answer = call()
    except GoogleAPICallError as error:
        listener(Answer(operation, type(error).__name__, {}))
        raise
    listener(Answer(operation, "", plain(answer)))
    return answer


def _plain(answer: Any) -> Any:
    """Return a message as JSON has it; of a pager its first page."""
    message = getattr(answer, "_response", answer)
    found = getattr(message, "_pb", None)
    return {} if found is None else json_format.MessageToDict(found)


def _without_names(path: str) -> str:
    """Return the path of a request of JSON without the names of buckets and objects."""
    return re.sub(r"(?<=/[bo]/)[^/]+", "*", path)
