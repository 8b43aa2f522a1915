"""JobService over gRPC, on a port of this machine without TLS, for those who have the emulator's access token."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from cloudtune.emulation.calls import TokenInterceptor
from cloudtune_vertex.emulator.calls import Call
from cloudtune_vertex.emulator.errors import Refused
from cloudtune_vertex.emulator.faults import Faults
from cloudtune_vertex.emulator.http import REFUSALS
from cloudtune_vertex.emulator.service import VERSIONS, JobServices

_SERVICES = {
    **{f"google.cloud.aiplatform.{version}.JobService": (version, "calls") for version in VERSIONS},
    **{f"google.cloud.aiplatform.{version}.PersistentResourceService": (version, "calls") for version in VERSIONS},
    **{f"google.cloud.aiplatform.{version}.VizierService": (version, "calls") for version in VERSIONS},
    "google.longrunning.Operations": (VERSIONS[0], "operations"),
}
"""Of each service its version of the API, and the attribute of `JobService` with its calls."""

_THREADS = 16


class GrpcServer:
    """Serves JobService.

    Args:
        services: what it serves.
        admits: says whether a call's ``authorization`` lets in.
        faults: what goes wrong on purpose.
        served: called with the name of every call.
    """

    def __init__(
        self, services: JobServices, *, admits: Callable[[str], bool], faults: Faults, served: Callable[[str], None]
    ) -> None:
        self._services, self._faults, self._served = services, faults, served
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, "emulator grpc"),
            interceptors=[TokenInterceptor(admits)],
            options=[("grpc.so_reuseport", 0)],
        )
        self._server.add_generic_rpc_handlers((_Handlers(self._find),))
        self._port = 0

    def start(self, port: int = 0) -> None:
        """Serve from now on.

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
        """Close the port, and wait until no call is being answered."""
        self._server.stop(grace=0).wait()

    @property
    def target(self) -> str:
        """Its address, ``host:port``."""
        return f"127.0.0.1:{self._port}"

    def _find(self, method: str) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return what answers a method, ``/service/name``; None for one that is not served."""
        _, service, name = method.split("/")
        if service not in _SERVICES:
            return None
        version, part = _SERVICES[service]
        call = getattr(self._services[version], part).get(name)
        return None if call is None else self._handler(name, call)

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
                context.abort_with_status(_status(refused))
            if fault == "lost":
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            return found

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=call.request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


class _Handlers(grpc.GenericRpcHandler):
    """Looks a method up when it is called, since the messages of a version are loaded when they are first used."""

    def __init__(self, find: "Callable[[str], grpc.RpcMethodHandler[Any, Any] | None]") -> None:
        self._find = find

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._find(handler_call_details.method)


def _status(refused: Refused) -> Any:
    """Return the status of a refused call, with its details as gRPC carries them."""
    status = status_pb2.Status(code=code_pb2.Code.Value(refused.code), message=refused.message)
    for each in refused.details:
        info = error_details_pb2.ErrorInfo()
        json_format.ParseDict({name: value for name, value in each.items() if name != "@type"}, info)
        status.details.add().Pack(info)
    return rpc_status.to_status(status)
