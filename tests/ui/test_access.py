"""The page answers the browser that was given its token, and nobody else."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from live_pages import Client, served, stored_run

from cloudtune.errors import ConfigError
from cloudtune.ui.server import listening

PATHS = ["/", "/static/app.js", "/api/about", "/api/stream?list=1", "/api/table?run=digits-1a2b", "/nowhere"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    project = tmp_path_factory.mktemp("project")
    stored_run(project, trials=2)
    with served(project) as found:
        yield found


def code(client: Client, path: str, headers: Mapping[str, str], *, cookie: bool = True, method: str = "GET") -> int:
    kept, client.cookie = client.cookie, client.cookie if cookie else ""
    try:
        return client.ask(method, path, headers=headers)[0]
    finally:
        client.cookie = kept


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_answered_without_the_token_or_with_another(client: Client, path: str) -> None:
    name = client.access.cookie
    assert code(client, path, {}, cookie=False) == 401
    for wrong in ("", "x", client.access.token, client.access.session[:-1], "\u00e9"):
        assert code(client, path, {"Cookie": f"{name}={wrong}".encode().decode("latin-1")}, cookie=False) == 403


def test_a_wrong_token_is_refused_and_the_right_one_leaves_the_address(client: Client) -> None:
    assert client.ask("GET", "/?token=nonsense", headers={"Cookie": ""})[0] == 403
    status, headers, _ = client.ask("GET", f"/?token={client.access.token}", headers={"Cookie": ""})
    assert (status, headers["location"]) == (303, "/")
    assert "httponly" in headers["set-cookie"].lower()
    assert "samesite=strict" in headers["set-cookie"].lower()
    assert client.access.token not in headers["set-cookie"]


@pytest.mark.parametrize("path", PATHS[:4])
def test_another_name_of_this_machine_is_refused(client: Client, path: str) -> None:
    port = client.access.port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example", ""):
        assert code(client, path, {"Host": host}) == 403
    assert code(client, "/api/about", {"Host": f"localhost:{port}"}) == 200


@pytest.mark.parametrize("path", PATHS[:4])
def test_other_sites_are_refused(client: Client, path: str) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1", f"https://127.0.0.1:{client.access.port}"):
        assert code(client, path, {"Origin": origin}) == 403
    assert code(client, path, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}) == 403


def test_a_change_needs_the_pages_own_origin(client: Client) -> None:
    headers = {"Content-Type": "application/json"}
    assert code(client, "/api/act/cancel", headers, method="POST") == 403
    status, said = client.act("cancel", "digits-1a2b")
    assert status == 403
    assert "--control" in said["error"]


def test_every_answer_carries_a_policy_that_runs_nothing_but_files_of_the_server(client: Client) -> None:
    for path in ("/", "/api/about", "/nowhere"):
        _, headers, _ = client.ask("GET", path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    page = client.ask("GET", "/")[2].decode()
    assert "<script>" not in page
    assert "style=" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_files_outside_of_the_pages_own_are_not_served(client: Client) -> None:
    for path in ("/static/..%2fapp.py", "/static/%2e%2e%2fapp.py", "/static/app.py", "/static/.js", "/static/none.js"):
        assert client.ask("GET", path)[0] == 404
    for name in ("app.js", "chart.js", "theme.css", "icon.svg"):
        assert client.ask("GET", f"/static/{name}")[0] == 200


def test_a_port_that_is_taken_is_told_and_the_usual_one_gives_way(tmp_path: Path) -> None:
    with listening(None) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} cannot be had .*--port"):
            listening(port)
        with listening(None) as second:
            assert second.getsockname()[1] != port
            assert second.getsockname()[0] == "127.0.0.1"
