"""JobService over gRPC, on a port of this machine without TLS, for those who have the emulator's access token."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from cloudtune.emulation.calls import TokenInterceptor
from cloudtune_vertex.emulator.faults import Faults
from cloudtune_vertex.emulator.http import REFUSALS
from cloudtune_vertex.emulator.refusals import Refused
from cloudtune_vertex.emulator.service import Call, JobService

_SERVICES = {"google.cloud.aiplatform.v1.JobService": "calls", "google.longrunning.Operations": "operations"}
_THREADS = 16


class GrpcServer:
    """Serves JobService.

    Args:
        service: what it serves.
        admits: says whether a call's ``authorization`` lets in.
        faults: what goes wrong on purpose.
        served: is told of every call: its name.
    """

    def __init__(
        self, service: JobService, *, admits: Callable[[str], bool], faults: Faults, served: Callable[[str], None]
    ) -> None:
        self._faults, self._served = faults, served
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, "emulator grpc"),
            interceptors=[TokenInterceptor(admits)],
            options=[("grpc.so_reuseport", 0)],
        )
        for name, part in _SERVICES.items():
            handlers = {call: self._handler(call, found) for call, found in getattr(service, part).items()}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        self._port = 0

    def start(self, port: int = 0) -> None:
        """Serves from now on.

        Args:
            port: of 127.0.0.1; 0 for a free one.

        Raises:
            OSError: the port is taken.
        """
        try:
            self._port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        except RuntimeError as error:
            raise OSError(str(error)) from None
        self._server.start()

    def stop(self) -> None:
        """Closes the port, and waits until no call is being answered."""
        self._server.stop(grace=0).wait()

    @property
    def target(self) -> str:
        """Its address, ``host:port``."""
        return f"127.0.0.1:{self._port}"

    def _handler(self, name: str, call: Call) -> "grpc.RpcMethodHandler[Any, Any]":
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self._served(name)
            fault = self._faults.of_call("aiplatform", name)
            if fault in REFUSALS:
                _, code, message = REFUSALS[fault]
                context.abort(grpc.StatusCode[code], message)
            try:
                found = call.answer(request)
            except Refused as refused:
                context.abort(grpc.StatusCode[refused.code], refused.message)
            if fault == "lost":
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            return found

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=call.request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
