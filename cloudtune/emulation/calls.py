"""Access control of an emulator's gRPC server, by the rules of `cloudtune.emulation.access`."""

from collections.abc import Callable
from typing import Any

import grpc

_OF_A_PAGE = frozenset({"origin", "sec-fetch-site"})
"""Headers that browsers send and gRPC clients do not."""


class TokenInterceptor(grpc.ServerInterceptor):
    """An interceptor that refuses every call without valid credentials, of any service of the server.

    Args:
        admits: returns whether a value of the metadata ``authorization`` is valid.
    """

    def __init__(self, admits: Callable[[str], bool]) -> None:
        self._admits = admits
        self._refusing: Any = grpc.unary_unary_rpc_method_handler(_refuse)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the handler of a permitted call, or one that refuses the call."""
        sent = dict(handler_call_details.invocation_metadata)
        if not _OF_A_PAGE.isdisjoint(sent) or not self._admits(str(sent.get("authorization", ""))):
            return self._refusing
        return continuation(handler_call_details)


def _refuse(_: Any, context: grpc.ServicerContext) -> Any:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials.")
