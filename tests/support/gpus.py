"""A made-up ``nvidia-smi``, and a script that says which devices it was given and how long it had them."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from cloudtune.run import Run

HOLDS = """\
import os, sys, time
import cloudtune.trial as trial

def main(seconds=0.15):
    begun = time.monotonic()
    time.sleep(seconds)
    cpus = sorted(os.sched_getaffinity(0))
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    with open(os.environ["HELD"], "a") as file:
        file.write(f"{seen} {','.join(map(str, cpus))} {os.environ.get('OMP_NUM_THREADS', '-')} {begun} {time.monotonic()}\\n")

if __name__ == "__main__":
    main()
    trial.report(score=1.0)
"""
"""Appends a line to the file in HELD: its devices, its processors, OMP_NUM_THREADS, and from when to when."""


def make_up(folder: Path, monkeypatch: pytest.MonkeyPatch, *rows: str, program: str = "nvidia-smi") -> None:
    """Put a program into PATH that prints rows, whatever it is asked; and give leases a folder of their own."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / program).write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(rows) + "\nEND\n")
    (programs / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("CLOUDTUNE_RUNTIME_DIR", str(folder / "leases"))
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


def t4s(count: int) -> list[str]:
    """Return rows of ``nvidia-smi`` for so many T4s."""
    return [f"{number}, GPU-{number:08x}-aaaa, Tesla T4, [N/A]" for number in range(count)]


def holding(folder: Path, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> dict[str, Any]:
    """Return a job whose trials run `HOLDS`, with further fields."""
    (folder / "holds.py").write_text(textwrap.dedent(HOLDS))
    monkeypatch.setenv("HELD", str(folder / "held"))
    return {
        "name": "holds",
        "trial": {"command": "python holds.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "strategy": {"type": "random", "seed": 1},
        "limits": {"trials": 6, "parallel": 6},
        **fields,
    }


def held(folder: Path) -> list[tuple[str, str, str, float, float]]:
    """Return what the trials wrote."""
    lines = [line.split() for line in (folder / "held").read_text().splitlines()]
    return [(gpus, cpus, threads, float(begun), float(ended)) for gpus, cpus, threads, begun, ended in lines]


def most_at_once(folder: Path, which: int = 0) -> int:
    """Return how many trials had one device at the same time, at most.

    Args:
        folder: where the trials wrote.
        which: 0 for GPUs, 1 for processors.
    """
    spans = [(word, row[3], row[4]) for row in held(folder) for word in row[which].split(",")]
    return max(
        sum(begun <= moment < ended for other, begun, ended in spans if other == word) for word, moment, _ in spans
    )


def messages(run: Run) -> str:
    """Return what the run's events say."""
    return "\n".join(message for _, _, message in run.events())
