"""A real sshd on a port of 127.0.0.1, with keys and a configuration of its own, that lets in the user of this process."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def login_node(folder: Path, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A server that gives its sessions variables; yields the settings of a profile by which it is reached as ``login``."""
    if _SSHD is None:
        pytest.skip("there is no sshd; apt-get install openssh-server")
    folder.mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = "".join(f"SetEnv {name}={value}\n" for name, value in environment.items())
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/user_key.pub\n"
        f"PidFile {folder}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n{variables}"
    )
    public = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"* {public}\n")
    config = f"Host login\n  HostName 127.0.0.1\n  Port {port}\n  UserKnownHostsFile {folder}/known_hosts\n  IdentitiesOnly yes\n  LogLevel ERROR\n"
    (folder / "ssh_config").write_text(config)
    with contextlib.suppress(PermissionError, FileExistsError):
        Path("/run/sshd").mkdir(mode=0o755)  # Debian's sshd wants it where it runs as root
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [_SSHD, "-D", "-e", "-f", folder / "sshd_config"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _await(port, folder / "log")
        yield {"host": "login", "config": str(folder / "ssh_config"), "identity": str(folder / "user_key")}
    finally:
        server.terminate()
        server.wait()


def _await(port: int, log: Path) -> None:
    until = time.monotonic() + 20
    while True:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 5) as connection:
            if connection.recv(4) == b"SSH-":
                return
        assert time.monotonic() < until, log.read_text()
        threading.Event().wait(0.02)
