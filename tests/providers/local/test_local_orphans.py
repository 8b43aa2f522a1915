"""What a driver that takes over kills, and what it spares."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloudtune_local import provider


def test_a_trial_that_its_keeper_has_begun_and_not_written_down_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is killed with the orphans, and its keeper, which another trial spares, records that as its failure."""
    written, begun = tmp_path / "0", tmp_path / "1"
    written.write_text("")
    asked: list[str] = []
    spared: list[set[int]] = []

    def kept(files: Any) -> bool:
        asked.append(files.record)
        if len(asked) == 3:
            begun.write_text("")  # the keeper comes to it
        return Path(files.record).exists()

    monkeypatch.setattr(provider, "kept", kept)
    monkeypatch.setattr(provider, "kept_pid", lambda files: int(Path(files.record).name) + 100 if kept(files) else None)
    monkeypatch.setattr(provider, "kill_orphans", lambda _, spare: spared.append(spare))
    run: Any = SimpleNamespace(folder=tmp_path, trials=lambda _: [0, 1], record=lambda: SimpleNamespace(started=1.0))
    setting: Any = SimpleNamespace(files=lambda number: SimpleNamespace(record=str(tmp_path / str(number))))
    provider._end_orphans(run, setting)
    assert spared == [{100, 101}]
