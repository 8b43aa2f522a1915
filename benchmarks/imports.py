"""What importing cloudtune costs beside `import pydantic`, in pairs of processes that take turns.

    python benchmarks/imports.py [--rounds N]

CPU seconds (user and system) of whole interpreters, less those of an empty one; quoted is the median of the rounds' ratios
and their spread. Modules are read in their compiled form, whatever the environment says, as after an installation: the
first round compiles them into a temporary folder and does not count.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

PEER = "import pydantic"
SMALLEST = "from pydantic import BaseModel; type('M', (BaseModel,), {'__annotations__': {'x': int}}, defer_build=True)"
"""A model of one field: no part of the spec can cost less."""

IMPORTS = {
    "import cloudtune": ("import cloudtune", 0.15),
    "from cloudtune import TuningJob": ("from cloudtune import TuningJob", 2.0),
    "a pydantic model of one field, whose schema is not built": (SMALLEST, None),
    "cloudtune --help": (
        "import sys; sys.argv = ['cloudtune', '--help']; from cloudtune.cli import main; main()",
        None,
    ),
}


def cpu_seconds(statements: str, environment: dict[str, str]) -> float:
    """Return the CPU time, user and system, of an interpreter that runs statements."""
    process = subprocess.Popen([sys.executable, "-c", statements], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{statements!r} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def measure(rounds: int, environment: dict[str, str]) -> dict[str, list[float]]:
    """Return the CPU seconds of each import by its statements, a number a round; all of them take turns."""
    all_of_them = ["pass", PEER, *(statements for statements, _ in IMPORTS.values())]
    times: dict[str, list[float]] = {statements: [] for statements in all_of_them}
    for number in range(rounds + 1):
        for statements in all_of_them:
            seconds = cpu_seconds(statements, environment)
            if number:
                times[statements].append(seconds)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how many rounds count")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as compiled:
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        times = measure(rounds, {**environment, "PYTHONPYCACHEPREFIX": compiled})
    empty = statistics.median(times["pass"])
    peer = [seconds - empty for seconds in times[PEER]]
    print(f"{PEER:<60}{statistics.median(peer) * 1e3:8.1f} ms")
    for name, (statements, aim) in IMPORTS.items():
        own = [seconds - empty for seconds in times[statements]]
        ratios = [one / other for one, other in zip(own, peer, strict=True)]
        wanted = "" if aim is None else f" (aim: <= {aim})"
        print(
            f"{name:<60}{statistics.median(own) * 1e3:8.1f} ms  "
            f"{statistics.median(ratios):.2f} x, {min(ratios):.2f} to {max(ratios):.2f}{wanted}"
        )


if __name__ == "__main__":
    main()
