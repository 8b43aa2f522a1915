"""Processes and users, as far as systems differ in them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

HAS_PROCESS_GROUPS = hasattr(os, "killpg") and hasattr(os, "fork")
"""Whether a program can be ended together with all that it started, which trials on this machine need."""

NO_TRIALS_HERE = (
    "trials run on this machine in process groups of their own, which Windows does not have: install cloudtune in WSL "
    "(Windows Subsystem for Linux) and run it there, or run the job on a cloud service: --on with its provider (`cloudtune providers` lists them)"
)
"""Why a job cannot run on this machine where there are no process groups."""


def detached() -> Mapping[str, Any]:
    """Return the arguments of `subprocess.Popen` for a process that goes on without this one and without its terminal."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    return {"start_new_session": True}


def is_mine(status: os.stat_result) -> bool:
    """Return whether a file belongs to this user; on Windows, where a user's folders are closed to others, always true."""
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()
