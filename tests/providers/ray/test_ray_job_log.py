"""A job's log by the dashboard: followed by its WebSocket, read whole where that does not come through, each line once."""

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from cloudtune.errors import EmulatorEnded, ProviderError
from cloudtune.provider.http_api import HttpApi
from cloudtune_ray import job_server
from cloudtune_ray.job_log import JobLog
from cloudtune_ray.job_server import JobServer

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CLOSE = object()


def frame(kind: int, held: bytes, *, last: bool = True) -> bytes:
    size = len(held)
    head = (
        bytes([size])
        if size < 126
        else struct.pack("!BH", 126, size)
        if size < 1 << 16
        else struct.pack("!BQ", 127, size)
    )
    return bytes([(0x80 if last else 0) | kind]) + head + held


class Dashboard(ThreadingHTTPServer):
    """A dashboard that tells one job's log.

    Attributes:
        connections: what it sends at each connection of the WebSocket: bytes; `CLOSE` for the closing frame. An empty list
            refuses the WebSocket, as a proxy does that knows none.
        log: what it tells whole.
        asked: the paths of all calls, with the headers of the last one.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections: list[Sequence[Any]] = []
        self.log, self.asked, self.headers = "", list[str](), dict[str, str]()
        self.answered, self.status = threading.Event(), "RUNNING"

    @property
    def api(self) -> HttpApi:
        return HttpApi("the dashboard", f"http://127.0.0.1:{self.server_port}", "mellon")


class Handler(BaseHTTPRequestHandler):
    server: Dashboard
    protocol_version = "HTTP/1.1"
    quiet: ClassVar[bool] = True

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers = dict(self.headers)
        if self.path.endswith("/tail") and self.server.connections:
            self._follow(self.server.connections.pop(0))
        elif self.path.endswith("/tail"):
            self.send_error(400, "Bad Request")
        else:
            self._answer({"logs": self.server.log, "status": self.server.status})

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"submission_id": "dismissing"})

    def _answer(self, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _follow(self, pieces: Sequence[Any]) -> None:
        accepted = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + _GUID).encode()).digest())
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accepted.decode()}\r\n\r\n"
        self.wfile.write(head.encode())
        for piece in pieces:
            self.wfile.write(frame(8, b"\x03\xe8") if piece is CLOSE else piece)
            if piece is CLOSE:
                self.rfile.read(8)  # the client's own
                self.server.answered.set()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep the tests quiet."""


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    with Dashboard() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def text(of: str) -> bytes:
    return frame(1, of.encode())


def lines(dashboard: Dashboard, over: Any = lambda: False) -> list[str]:
    return list(JobLog(dashboard.api, "job-1", 0.01).lines(over))


def test_lines_come_whole_from_pieces_of_any_size_until_the_server_closes(dashboard: Dashboard) -> None:
    long = "ü" * 70_000
    halves = text("tw")[:3], text("tw")[3:] + text("o\n") + frame(9, b"ping") + frame(1, b"thr", last=False)
    rest = frame(0, b"ee\n"), text(f"{long}\n\nfo"), text("ur"), CLOSE
    dashboard.connections = [[text("one\n"), *halves, *rest]]
    assert lines(dashboard) == ["one", "two", "three", long, "", "four"]
    assert dashboard.answered.wait(10)
    assert dashboard.headers["Authorization"] == "Bearer mellon"
    assert dashboard.asked == ["/api/jobs/job-1/logs/tail"], "nothing is read twice"


def test_a_connection_that_breaks_is_made_again_and_repeats_no_line(dashboard: Dashboard) -> None:
    dashboard.connections = [
        [text("one\ntw")],
        [text("one\ntwo\n"), text("three\nfou")],
        [text("one\ntwo\nthree\nfour"), CLOSE],
    ]
    dashboard.log = "one\ntwo\nthr"
    assert lines(dashboard) == ["one", "two", "three", "four"]


def test_where_no_websocket_comes_through_the_whole_log_is_read_until_the_job_has_ended(dashboard: Dashboard) -> None:
    told = iter(["one\n", "one\ntwo\nthr", "one\ntwo\nthree"])

    def over() -> bool:
        dashboard.log = next(told, dashboard.log)
        return dashboard.log.endswith("three")

    assert lines(dashboard, over) == ["one", "two", "three"]


def test_what_a_running_job_has_printed_so_far_is_read_and_not_followed(dashboard: Dashboard) -> None:
    dashboard.connections, dashboard.log = [[text("never")]], "one\ntw"
    assert lines(dashboard, lambda: True) == ["one", "tw"]
    assert dashboard.asked == ["/api/jobs/job-1/logs"]


def test_a_dashboard_that_does_not_close_is_left_after_the_jobs_end(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudtune_ray.job_log._CLOSES", 0.05)
    released = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield text("one\ntwo")
        released.wait(30)

    dashboard.connections = [pieces()]  # type: ignore[list-item]
    try:
        told = iter([False])
        assert lines(dashboard, lambda: next(told, True)) == ["one", "two"]
    finally:
        released.set()


def test_slots_that_do_not_end_are_left_after_a_time(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_server, "_DISMISSED", 0.0)
    with pytest.raises(ProviderError, match="which ends the slots of the run, has not ended within 0 s"):
        JobServer({"endpoint": f"http://127.0.0.1:{dashboard.server_port}"}).dismiss("space", "run-1")
    assert dashboard.asked[-1] == "/api/jobs/dismissing/stop"


def test_a_dashboard_on_this_machine_that_does_not_answer_is_a_tunnel_that_may_come_back(dashboard: Dashboard) -> None:
    place = f"http://127.0.0.1:{dashboard.server_port}"
    dashboard.shutdown()
    dashboard.server_close()
    server = JobServer({"endpoint": place})
    assert server.emulators() == {}
    with pytest.raises(ProviderError, match="^the job server of Ray cannot be reached: ") as caught:
        server.api.ask("GET", "api/version")
    assert (caught.value.retryable, isinstance(caught.value, EmulatorEnded)) == (True, False)
