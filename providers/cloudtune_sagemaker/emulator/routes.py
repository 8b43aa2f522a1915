"""Operations of ours in the place of moto's, for as long as they are wanted."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask
from moto.backends import SERVICE_NAMES
from moto.core.responses import BaseResponse
from moto.iam import urls as iam
from moto.logs import urls as logs
from moto.moto_server.werkzeug_app import create_backend_app
from moto.sagemaker import urls as sagemaker

_PATH = "{0}/$"
"""The path of all operations of these services, among moto's."""

_MODULES: Mapping[str, Any] = {"sagemaker": sagemaker, "iam": iam, "logs": logs}

Operations = Mapping[str, type[BaseResponse]]
"""What answers the requests of a service, by its name in moto."""

_lock = threading.RLock()


@contextlib.contextmanager
def routed(operations: Operations) -> Iterator[None]:
    """Have moto answer with these operations, everywhere in this process, until the context ends."""
    with _lock:
        before = {service: _MODULES[service].url_paths[_PATH] for service in operations}
        for service, answering in operations.items():
            _MODULES[service].url_paths[_PATH] = answering.dispatch
    try:
        yield
    finally:
        with _lock:
            for service, answering in before.items():
                _MODULES[service].url_paths[_PATH] = answering


def application(service: SERVICE_NAMES, operations: Operations) -> Flask:
    """Return Moto's application of one service for a server, with these operations; moto itself stays as it is."""
    app = create_backend_app(service)
    if service in operations:
        for view in app.view_functions.values():
            moto: Any = view  # an object with the method of a class of moto
            moto.callback = getattr(operations[service], moto.callback.__name__)
    return app
