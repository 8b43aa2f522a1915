"""The command that serves the page: it says where, and ends with Ctrl-C although pages follow."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from live_pages import Client, stored_run


def test_the_command_prints_its_address_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    stored_run(tmp_path, trials=120)
    command = [sys.executable, "-m", "cloudtune", "ui", "--no-browser", "--project", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", process.stdout.readline())
        assert found is not None
        access: Any = SimpleNamespace(port=int(found[1]), token=found[2])
        client = Client(cast("Any", SimpleNamespace(access=access))).log_in()
        assert client.get("/api/about")["control"] is False
        with client.stream(("run", "digits-1a2b")) as events:
            next(events)
            process.send_signal(signal.SIGINT)
            process.wait(100)
        assert process.returncode == 0
        assert "Traceback" not in process.stderr.read()
