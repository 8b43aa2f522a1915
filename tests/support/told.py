"""Servers on this machine that are told of runs: a webhook, and a mail server that encrypts by STARTTLS."""

import contextlib
import datetime as dt
import email
import email.policy
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Webhook:
    """What a webhook got, and how it answers.

    Attributes:
        url: its address, with a token in it.
        status: that it answers with.
        answer: its body.
        location: where it redirects to.
        drip: whether it sends its answer byte by byte, without an end, until it is released.
        requests: the path, the headers and the body of each.
        arrived: set with each request.
    """

    url: str = ""
    status: int = 200
    answer: bytes = b"ok"
    location: str = ""
    drip: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The bodies of the requests."""
        return [json.loads(body) for _, _, body in self.requests]


@contextmanager
def webhook(**how: Any) -> Iterator[Webhook]:
    """Serve a webhook."""
    hook = Webhook(**how)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.requests.append((self.path, dict(self.headers), body))
            hook.arrived.release()
            if hook.drip:
                with contextlib.suppress(OSError):  # who asked has given up
                    while not hook.released.wait(0.05):
                        self.wfile.write(b"H")
                return
            self.send_response(hook.status)
            if hook.location:
                self.send_header("Location", hook.location)
            self.send_header("Content-Length", str(len(hook.answer)))
            self.end_headers()
            self.wfile.write(hook.answer)

        def do_GET(self) -> None:
            hook.requests.append((self.path, dict(self.headers), b"{}"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}/services/T024BE7LD/B7PW0WUH1/kEwJ3aXt9TokenOfIts0wn"
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield hook
        hook.released.set()
        server.shutdown()


@dataclass
class MailServer:
    """What a mail server got.

    Attributes:
        address: HOST:PORT.
        certificate: the file of the certificate by which it encrypts; None if it does not.
        mails: each message, with whether it came encrypted, and who logged in.
    """

    address: str = ""
    certificate: Path | None = None
    mails: list[tuple[EmailMessage, bool, bytes]] = field(default_factory=list)


@contextmanager
def mail_server(folder: Path, *, encrypts: bool = True) -> Iterator[MailServer]:
    """Serve SMTP (RFC 5321) with STARTTLS (RFC 3207) and AUTH PLAIN."""
    got = MailServer()
    context = None
    if encrypts:
        got.certificate = _certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(got.certificate)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            encrypted, login = False, b""
            self._say("220 localhost ESMTP")
            while words := self.rfile.readline().split():
                match words[0].upper():
                    case b"EHLO":
                        offers = ["AUTH PLAIN"] if encrypted or context is None else ["STARTTLS"]
                        self._say("250-localhost", *(f"250-{each}" for each in offers), "250 SIZE 1000000")
                    case b"STARTTLS" if context is not None:
                        self._say("220 go ahead")
                        self.connection = context.wrap_socket(self.connection, server_side=True)
                        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                        encrypted = True
                    case b"AUTH":
                        login = words[-1]
                        self._say("235 welcome")
                    case b"DATA":
                        self._say("354 go on")
                        lines = b"".join(iter(self.rfile.readline, b".\r\n"))
                        mail = email.message_from_bytes(lines, policy=email.policy.default)
                        assert isinstance(mail, EmailMessage)
                        got.mails.append((mail, encrypted, login))
                        self._say("250 taken")
                    case b"QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("250 well")

        def _say(self, *lines: str) -> None:
            self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        got.address = f"localhost:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield got
        server.shutdown()


def _certificate(folder: Path) -> Path:
    """Write a certificate of ``localhost`` that signs itself, with its key, and return the file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name, now = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]),
        dt.datetime.now(dt.UTC),
    )
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file
