"""Who may call a gRPC server of this machine: the same rule as that of `cloudtune.emulation.access`."""

from collections.abc import Callable
from typing import Any

import grpc

_OF_A_PAGE = frozenset({"origin", "sec-fetch-site"})
"""Headers of browsers, which no client of gRPC sends."""


class TokenInterceptor(grpc.ServerInterceptor):
    """Refuses every call, of whatever service, that does not bring what lets in.

    Args:
        admits: says whether the metadata ``authorization`` lets in.
    """

    def __init__(self, admits: Callable[[str], bool]) -> None:
        self._admits = admits
        self._refusing: Any = grpc.unary_unary_rpc_method_handler(_refuse)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Let a call through, or have it refused."""
        sent = dict(handler_call_details.invocation_metadata)
        if not _OF_A_PAGE.isdisjoint(sent) or not self._admits(str(sent.get("authorization", ""))):
            return self._refusing
        return continuation(handler_call_details)


def _refuse(_: Any, context: grpc.ServicerContext) -> Any:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials.")
