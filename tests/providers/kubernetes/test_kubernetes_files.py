"""What the Job that reads a volume runs: it prints the files, says how large they are, or fails."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest
from late import LATE

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes import files
    from cloudtune_kubernetes.storage import unpacked


def read(folder: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    words = ["sh", "-c", files._READ, str(folder)]
    return subprocess.run(
        words, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True, check=False
    )


def test_files_are_printed_packed(tmp_path: Path) -> None:
    (tmp_path / "output" / "deep").mkdir(parents=True)
    (tmp_path / "output" / "deep" / "model.bin").write_bytes(bytes(range(256)))
    done = read(tmp_path / "output", tmp_path)
    assert done.returncode == 0
    (found,) = unpacked(done.stdout.splitlines(), tmp_path / "here")
    assert found.read_bytes() == bytes(range(256))
    assert base64.b64decode(done.stdout)
    assert read(tmp_path / "none", tmp_path).stdout == ""


def test_a_reading_that_fails_prints_no_files(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    done = read(tmp_path / "output", tmp_path / "no-such-folder")
    assert (done.returncode, done.stdout) == (1, "")
    assert "mktemp" in done.stderr
