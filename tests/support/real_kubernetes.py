"""A real API server of Kubernetes with its Job controller, where their programs are installed.

``etcd``, ``kube-apiserver`` and ``kube-controller-manager`` are looked for on the PATH and in the folder KUBEBUILDER_ASSETS. No
package index offers them: they are in Kubernetes' own releases, or are built with ``make`` of its source.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cloudtune.testing.conformance import wait_until

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_TOKEN = "administrator"  # of a server on loopback that lives for a test


@dataclass(frozen=True)
class ControlPlane:
    """Where it is.

    Attributes:
        kubeconfig: of an administrator.
        certificate: the file with what signs the API server's certificate.
    """

    kubeconfig: Path
    certificate: Path


def programs() -> list[str] | None:
    """Return the programs; None if one is not installed."""
    path = os.pathsep.join(filter(None, [os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH")]))
    found = [shutil.which(name, path=path) for name in PROGRAMS]
    return None if None in found else [str(each) for each in found]


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Start it on loopback; it ends with the context."""
    found = programs()
    assert found is not None
    etcd, server, manager = found
    client, peer, secure = _port(), _port(), _port()
    key, tokens, kubeconfig = folder / "accounts.key", folder / "tokens.csv", folder / "kubeconfig"
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))  # fmt: skip
    tokens.write_text(f"{_TOKEN},admin,admin,system:masters\n")
    certificate = folder / "certificates" / "apiserver.crt"
    with ExitStack() as stack:
        stack.enter_context(_running(folder, etcd, f"--data-dir={folder / 'etcd'}", f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}", "--unsafe-no-fsync"))  # fmt: skip
        stack.enter_context(_running(folder, server, f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1", f"--secure-port={secure}",
            f"--cert-dir={certificate.parent}", f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={tokens}", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24", "--advertise-address=127.0.0.1"))  # fmt: skip
        url = f"https://127.0.0.1:{secure}"
        wait_until(lambda: _ready(url, certificate))
        kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": {"server": url, "certificate-authority": str(certificate)}}],
            "users": [{"name": "admin", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "admin"}}],
        }))  # fmt: skip
        stack.enter_context(_running(folder, manager, f"--kubeconfig={kubeconfig}", f"--service-account-private-key-file={key}", f"--root-ca-file={certificate}",
            "--use-service-account-credentials", "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={_port()}"))  # fmt: skip
        yield ControlPlane(kubeconfig, certificate)


@contextmanager
def _running(folder: Path, *words: str) -> Iterator[None]:
    with (
        (folder / f"{Path(words[0]).name}.log").open("w") as log,
        subprocess.Popen(words, stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.kill()  # what it knows ends with the test


def _ready(url: str, certificate: Path) -> bool:
    if not certificate.exists():
        return False
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"})  # https
        with urllib.request.urlopen(request, context=context, timeout=2):
            return True
    except OSError:
        return False
