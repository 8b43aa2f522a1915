"""A real sshd on a port of 127.0.0.1, with keys and a configuration of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.register_assert_rewrite("cloudtune.testing.conformance")

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass
class Sshd:
    """A server that can be stopped, with all its connections, and started again on the same port."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert SSHD is not None
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip
        until = time.monotonic() + 20
        while True:
            with (
                contextlib.suppress(ConnectionError),
                socket.create_connection(("127.0.0.1", self.port), 5) as connection,
            ):
                if connection.recv(4) == b"SSH-":
                    return
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
            assert time.monotonic() < until, "sshd does not listen"
            threading.Event().wait(0.02)

    def stop(self) -> None:
        """End it, and the connections that it has."""
        if self.process is not None:
            below = _children(self.process.pid)
            self.process.terminate()
            self.process.wait()
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 15)
            self.process = None


def _children(pid: int) -> list[int]:
    """The servers of the connections; what they have started for a user is none of theirs."""
    said = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in said.split()]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that lets in who has its key, as the user of this process."""
    with _server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def spare(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Another one, of a test alone, that takes the same key."""
    with _server(tmp_path_factory.mktemp("spare"), sshd.folder) as server:
        yield server


@contextlib.contextmanager
def _server(folder: Path, keys: Path | None = None) -> Iterator[Sshd]:
    if SSHD is None:
        pytest.skip("there is no sshd; apt-get install openssh-server")
    for name in ("host_key", "user_key"):
        if keys is None:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        else:
            shutil.copy(keys / name, folder)
            shutil.copy(keys / f"{name}.pub", folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/user_key.pub\n"
        f"PidFile {folder}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nMaxStartups 100\nMaxSessions 100\n"
    )
    public = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"* {public}\n")
    with contextlib.suppress(PermissionError, FileExistsError):
        Path("/run/sshd").mkdir(mode=0o755)  # Debian's sshd wants it where it runs as root
    server = Sshd(folder, port)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _no_config_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("CLOUDTUNE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def lab(sshd: Sshd, project: Path) -> str:
    """A profile of two hosts, which are both the server of these tests; their runs are in the folder ``hosts``."""
    write_profile(project, sshd)
    return "lab"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of the store, with a folder ``src`` for the script."""
    (tmp_path / "project" / "src").mkdir(parents=True)
    return tmp_path / "project"


def write_profile(project: Path, sshd: Sshd, **more: Sshd | None) -> None:
    """Write the config with the profile ``lab``; `more` are the servers of further hosts by name, None for none."""
    servers = {"one": sshd, "two": sshd, **more}
    config = project / "ssh_config"
    config.write_text(
        "".join(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {1 if server is None else server.port}\n"
            for name, server in servers.items()
        )
        + f"Host *\n  UserKnownHostsFile {sshd.folder}/known_hosts\n  IdentitiesOnly yes\n  LogLevel ERROR\n"
    )
    (project / "cloudtune.toml").write_text(
        f"""[profiles.lab]
provider = "ssh"
hosts = {list(servers)}
identity = "{sshd.folder}/user_key"
config = "{config}"
slots = 2
folder = "{project}/hosts"
python = "{sys.executable}"
grace = 0.5
patience = 2
"""
    )
