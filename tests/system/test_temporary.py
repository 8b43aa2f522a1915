"""Temporary folders: who holds one, and which are left by programs that are gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloudtune.system.temporary import TemporaryFolder, abandoned

HOLD = """
from cloudtune.system.temporary import TemporaryFolder
print(TemporaryFolder({kind!r}).path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_its_owners_alone_and_goes_with_what_is_in_it(temporary: Path) -> None:
    with TemporaryFolder("kind") as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        (folder.path / "file").write_text("x")
        assert list(abandoned("kind")) == []
    assert list(temporary.iterdir()) == []
    folder.remove()


@pytest.mark.parametrize("kind", ["", "trial"])
def test_what_a_killed_program_left_is_found_once_it_is_gone(temporary: Path, kind: str) -> None:
    words = [sys.executable, "-c", HOLD.format(kind=kind)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        assert list(abandoned(kind)) == []
        owner.send_signal(signal.SIGKILL)
    assert list(abandoned(kind)) == [path]
    assert list(abandoned("" if kind else "trial")) == []


def test_what_has_no_lock_may_be_anybodys_until_it_is_old_enough(temporary: Path) -> None:
    for name in ("cloudtune-notebook", "cloudtune-trial-abcdefgh"):
        (temporary / name).mkdir()
        os.utime(temporary / name, (time.time() - 100,) * 2)
    (temporary / "cloudtune-trial-link").symlink_to(temporary)
    assert list(abandoned()) == list(abandoned("trial")) == list(abandoned("trial", without_lock=1000)) == []
    assert list(abandoned("trial", without_lock=60)) == [temporary / "cloudtune-trial-abcdefgh"]
