"""Runs in a store and the server of the live page, for its tests."""

import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cloudtune.planning.plan import Ledger, leaves
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store
from cloudtune.ui.server import PageServer

JOB: dict[str, Any] = {
    "name": "digits",
    "trial": {"command": "python train.py"},
    "objective": {"metric": "accuracy", "goal": "maximize"},
    "space": {
        "C": {"type": "float", "low": 1e-3, "high": 1e3, "scale": "log"},
        "kernel": {"type": "categorical", "values": ["rbf", "poly"]},
    },
    "strategy": {"type": "random", "seed": 1},
    "limits": {"trials": 40, "parallel": 4},
}


def stored_run(
    project: Path,
    run_id: str = "digits-1a2b",
    *,
    trials: int = 20,
    state: RunState = RunState.COMPLETED,
    **changes: Any,
) -> RunStore:
    """Write a run with trials, reports and events to a project's store."""
    job = TuningJob.from_data({**JOB, **changes})
    ledger = Ledger("local")
    for path, _ in leaves(job):
        ledger.carry(path, f"driver.{path}")
    plan, now = ledger.close(job, "driven", {}), time.time()
    record = RunRecord(
        run_id, job.name, "local", "local", json.dumps(job.to_data()), json.dumps(plan.to_data()), state, "",
        now - 600, now - 600, now if state.ended else None, 600.0,
    )  # fmt: skip
    run = Store(project).create(record)
    draw, space, made, reports = random.Random(1), job.search_space(), [], []
    for number in range(trials):
        values = space.at([draw.random() for _ in space.dimensions])
        failed = number % 7 == 6
        metrics = {} if failed else {"accuracy": draw.random()}
        ended = TrialState.FAILED if failed else TrialState.COMPLETED
        begun = now - 600 + 20 * number
        reason = "exit code 1" if failed else ""
        made.append(Trial(number, values, ended, metrics, reason, 1, begun, begun + 15, f"trials/{number:05d}"))
        reports += [Report(number, 1, step, begun + step, {"accuracy": draw.random()}) for step in (1, 2, 3)]
    run.write(trials=made, reports=reports, events=[(None, "run started")])
    return run


class Client:
    """Asks the server as a browser would, over a socket, with the cookie that the token was exchanged for."""

    def __init__(self, server: PageServer) -> None:
        self.access = server.access
        self.host = f"127.0.0.1:{server.access.port}"
        self.cookie = ""

    def log_in(self) -> "Client":
        """Exchange the token for the cookie."""
        status, headers, _ = self.ask("GET", f"/?token={self.access.token}")
        assert status == 303
        self.cookie = headers["set-cookie"].partition(";")[0]
        return self

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the code, the headers and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.access.port, timeout=100)
        try:
            given = {"Host": self.host, **({"Cookie": self.cookie} if self.cookie else {}), **(headers or {})}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str, *parameters: tuple[str, str]) -> Any:
        """Return the JSON of an answer that is well."""
        status, _, body = self.ask("GET", f"{path}?{urlencode(parameters)}")
        assert status == 200, body
        return json.loads(body)

    def act(self, action: str, run: str, **given: Any) -> tuple[int, Any]:
        """Return the code and the JSON of an action's answer."""
        headers = {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        body = json.dumps({"run": run, "given": given}).encode()
        status, _, answer = self.ask("POST", f"/api/act/{action}", body, headers)
        return status, json.loads(answer)

    @contextlib.contextmanager
    def stream(self, *parameters: tuple[str, str], last: str = "") -> Iterator[Iterator[tuple[str, str, Any]]]:
        """Follow the stream; yield its events: kind, id, data."""
        connection = http.client.HTTPConnection("127.0.0.1", self.access.port, timeout=100)
        headers = {"Host": self.host, "Cookie": self.cookie, **({"Last-Event-ID": last} if last else {})}
        connection.request("GET", f"/api/stream?{urlencode(parameters)}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200

        def events() -> Iterator[tuple[str, str, Any]]:
            fields: dict[str, str] = {}
            while line := answer.readline().decode():
                if line == "\n" and "data" in fields:
                    yield fields["event"], fields["id"], json.loads(fields["data"])
                    fields = {}
                elif line != "\n":
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = value

        try:
            yield events()
        finally:
            connection.close()


@contextlib.contextmanager
def served(*projects: Path, control: bool = False) -> Iterator[Client]:
    """Serve the page of some projects on a free port; yield a client that is logged in."""
    server = PageServer(projects, port=_free(), control=control)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Client(server).log_in()
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def _free() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
