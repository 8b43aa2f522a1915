"""The names of pods with a subdomain, which a cluster's DNS answers: a file in the place of ``/etc/hosts``, one a namespace."""

import threading
from pathlib import Path
from typing import Any

_DOMAIN = "cluster.local"


class Names:
    """The names of all pods.

    Args:
        folder: for the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def add(self, pod: dict[str, Any], address: str) -> Path | None:
        """Note a pod's names, and return the file of its namespace; None for a pod without a subdomain.

        The file is written in place, so that pods in which it is mounted see it.
        """
        subdomain = pod["spec"].get("subdomain")
        if not subdomain:
            return None
        namespace, host = str(pod["metadata"]["namespace"]), pod["spec"].get("hostname") or pod["metadata"]["name"]
        own = f"{host}.{subdomain}"
        names = [own, f"{own}.{namespace}", f"{own}.{namespace}.svc", f"{own}.{namespace}.svc.{_DOMAIN}", host]
        with self._lock:
            file: Path = self._folder / namespace
            if not file.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                machine = Path("/etc/hosts")
                file.write_text(machine.read_text() if machine.is_file() else "127.0.0.1 localhost\n")
            lines = [line for line in file.read_text().splitlines() if own not in line.split()]
            with file.open("r+") as held:
                held.write("\n".join([*lines, f"{address} {' '.join(names)}"]) + "\n")
                held.truncate()
        return file
