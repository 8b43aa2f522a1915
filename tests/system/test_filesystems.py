"""On what kind of file system a folder lies, and what is told of a store on another machine's."""

from pathlib import Path

import pytest
from plain_jobs import plain_data

from cloudtune import TuningJob, api
from cloudtune.store import network
from cloudtune.system.filesystems import network_filesystem

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home {home} nfs4 rw,vers=4.2 0 0
/dev/sdb1 {home}/my\\040disk xfs rw 0 0
"""


def test_the_nearest_mount_counts(tmp_path: Path) -> None:
    table, home = tmp_path / "mounts", tmp_path / "home"
    (home / "my disk").mkdir(parents=True)
    table.write_text(MOUNTS.format(home=home))
    assert network_filesystem(home / "project" / "not there yet", table) == "nfs4"
    assert network_filesystem(home / "my disk", table) is None
    assert network_filesystem(tmp_path, table) is None
    assert network_filesystem(tmp_path, tmp_path / "no table") is None


def test_a_store_on_a_network_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = TuningJob.from_data(plain_data(objective={"metric": "score", "goal": "maximize"}, limits={"trials": 1}))
    assert not list(api.prepare(job, "local", project=tmp_path, base=tmp_path).events())
    monkeypatch.setattr(network, "network_filesystem", lambda _folder: "nfs4")
    (event,) = api.prepare(job, "local", project=tmp_path, base=tmp_path).events()
    assert "from one machine at a time" in event[2]
