"""Check whether a service can be reached, before any request."""

import contextlib
import socket
import ssl
import urllib.request
from urllib.parse import urlsplit


def answers(address: str, seconds: float) -> bool:
    """Return whether a server at an address answers at all, also with an error; True behind a proxy, without a check.

    Args:
        address: of a service: ``https://host`` or ``http://host:port``.
        seconds: to wait for a connection or an answer.
    """
    parts = urlsplit(address)
    host, secure = parts.hostname or "", parts.scheme == "https"
    proxies = urllib.request.getproxies()
    if (parts.scheme in proxies or "all" in proxies) and not urllib.request.proxy_bypass(host):
        return True
    try:
        with socket.create_connection((host, parts.port or (443 if secure else 80)), timeout=seconds) as connection:
            return _says_something(connection, host, parts.netloc, secure=secure)
    except OSError:
        return False


def _says_something(connection: socket.socket, host: str, netloc: str, *, secure: bool) -> bool:
    if not secure:
        connection.sendall(f"HEAD / HTTP/1.1\r\nHost: {netloc}\r\nConnection: close\r\n\r\n".encode())
        connection.recv(1)
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is said to it that matters
    with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_hostname=host):
        return True
    return True
