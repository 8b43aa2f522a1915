"""Listen to what AWS answers to boto3's clients, for a comparison with the emulator."""

import contextlib
from collections.abc import Iterator
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from cloudtune.provider.answers import Answer, Listener
from cloudtune_sagemaker.client import code_of

_META = "ResponseMetadata"


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Give every answer to a call of a client of botocore, in this process, to a listener within the context."""
    clients: Any = BaseClient
    original = clients._make_api_call  # noqa: SLF001  # what every call goes through

    def call(client: Any, operation: str, parameters: Any) -> Any:
        try:
            answer = original(client, operation, parameters)
        except ClientError as error:
            listener(Answer(operation, code_of(error), {}))
            raise
        listener(Answer(operation, "", {name: _plain(value) for name, value in answer.items() if name != _META}))
        return answer

    clients._make_api_call = call  # noqa: SLF001
    try:
        yield
    finally:
        clients._make_api_call = original  # noqa: SLF001


def _plain(value: Any) -> Any:
    """Return a value, or a text in the place of a stream."""
    return "a stream" if hasattr(value, "read") else value
