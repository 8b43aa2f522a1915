"""What the Python file of a trial's task does by itself: pieces of output, folders on the volume, variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloudtune_databricks.task import HandingOver, Lines, Mirror, Output, Stopped, options, place, variables


def old(path: Path, text: str) -> Path:
    """Write a file that nobody writes any more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_000, 1_000 + len(text)))
    return path


def test_each_piece_of_output_is_a_file_and_the_marker_says_how_many_there_are(tmp_path: Path) -> None:
    output = Output(str(tmp_path), "3-1")
    output.hand_over()
    assert not list(tmp_path.iterdir()), "nothing was printed"
    for text in ("one", "two"):
        output.take(text)
        output.take("grüße")
        output.hand_over()
    assert [each.name for each in (tmp_path / "heard").iterdir()] == ["3-1.2"]
    pieces = sorted((tmp_path / "printed" / "3-1").iterdir())
    assert [each.name for each in pieces] == ["000001.txt", "000002.txt"]
    assert [line.partition(" ")[2] for line in pieces[1].read_text("utf-8").splitlines()] == ["two", "grüße"]


def test_much_output_is_handed_over_before_its_time(tmp_path: Path) -> None:
    output = Output(str(tmp_path), "0-1")
    assert not output.take("x" * 1000)
    assert output.take("x" * (1 << 20))


def test_a_piece_that_the_volume_does_not_take_comes_with_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "printed").touch()
    output = Output(str(tmp_path), "0-1")
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as process:
        lines = Lines(process)
        assert list(lines.rest()) == []
    handing = HandingOver(lines, output, Mirror(str(tmp_path / "own"), str(tmp_path / "kept")), 10.0)
    output.take("one")
    handing.now()
    assert "the volume took nothing" in capsys.readouterr().out
    with pytest.raises(NotADirectoryError):
        handing.now(last=True)
    (tmp_path / "printed").unlink()
    output.take("two")
    handing.now()
    (piece,) = (tmp_path / "printed" / "0-1").iterdir()
    assert [line.partition(" ")[2] for line in piece.read_text().splitlines()] == ["one", "two"]
    assert 9 < handing.wait <= 10


def test_a_folder_on_the_volume_follows_what_changes_and_what_goes(tmp_path: Path) -> None:
    own, target = tmp_path / "own", tmp_path / "kept"
    mirror = Mirror(str(own), str(target))
    old(own / "deep" / "a", "1")
    fresh = own / "b"
    fresh.write_text("half")
    mirror.follow()
    assert [each.relative_to(target).as_posix() for each in target.rglob("*") if each.is_file()] == ["deep/a"], (
        "b may still be written"
    )
    mirror.follow(last=True)
    assert (target / "b").read_text() == "half"
    old(own / "deep" / "a", "22")
    fresh.unlink()
    mirror.follow()
    assert (target / "deep" / "a").read_text() == "22"
    assert not (target / "b").exists()


class Eager(Mirror):
    """Copies what may still be written."""

    def follow(self, *, last: bool = False) -> None:
        super().follow(last=True)


@pytest.mark.complete
def test_no_report_is_missing_that_was_made_before_a_checkpoint_that_is_kept(tmp_path: Path) -> None:
    """Each checkpoint follows the report of its step, and what is handed over may break off at any time."""
    kept = tmp_path / "own" / "step"
    kept.parent.mkdir()
    program = f"import os\nfor n in range(3000):\n    print('step', n, flush=True)\n    open({str(kept)!r} + '~', 'w').write(str(n))\n    os.replace({str(kept)!r} + '~', {str(kept)!r})\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        lines = Lines(process)
        mirror = Eager(str(kept.parent), str(tmp_path / "kept"))
        handing = HandingOver(lines, Output(str(tmp_path), "0-1"), mirror, 0.0)
        copied, looks = tmp_path / "kept" / "step", 0
        while looks < 20:
            handing.now()
            if copied.exists():
                looks += 1
                printed = "".join(each.read_text() for each in sorted((tmp_path / "printed" / "0-1").glob("*.txt")))
                assert f"step {copied.read_text()}\n" in printed
        list(lines.rest())


def test_a_program_that_is_stopped_is_heard_to_its_end(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "print('one')\nprint('two')"], stdout=subprocess.PIPE) as process:
        lines, taken = Lines(process), list[str]()
        lines.stop()
        with pytest.raises(Stopped):
            taken.extend(iter(lambda: str(lines.next(5.0)), ""))
        assert [*taken, *lines.rest()] == ["one", "two"]
        assert lines.next(0.0) is None


def test_progress_bars_and_bytes_that_are_no_text_are_lines(tmp_path: Path) -> None:
    program = "import sys\nsys.stdout.buffer.write(b'10%\\r90%\\r\\n\\xff end\\nno end')\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert list(Lines(process).rest()) == ["10%", "90%", "\ufffd end", "no end"]


def test_words_become_options_and_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDTUNE_VOLUMES", "/elsewhere")
    said, data = options(["--run=r", "--data=CLOUDTUNE_DATA_A=dbfs:///Volumes/m/d/t/x=1", "--trial=e30="])
    assert said == {"run": "r", "trial": "e30="}
    assert data == {"CLOUDTUNE_DATA_A": "/elsewhere/Volumes/m/d/t/x=1"}
    monkeypatch.delenv("CLOUDTUNE_VOLUMES")
    assert place("dbfs:///Volumes/m/d/t") == "/Volumes/m/d/t"


def test_the_program_gets_its_values_its_secrets_and_its_parents_checkpoint(tmp_path: Path) -> None:
    secrets = tmp_path / "environment.json"
    secrets.write_text(json.dumps({"TOKEN": "s3cr3t"}))
    said = {"files": str(tmp_path / "files"), "run": "r-1", "environment": str(secrets)}
    trial = {"number": 4, "attempt": 2, "parent": 1, "values": {"x": 0.5}}
    found = variables(said, {"CLOUDTUNE_DATA_A": "/a"}, trial, str(tmp_path))
    assert json.loads(found["CLOUDTUNE_VALUES"]) == {"x": 0.5}
    assert (found["TOKEN"], found["CLOUDTUNE_DATA_A"]) == ("s3cr3t", "/a")
    assert (found["CLOUDTUNE_TRIAL"], found["CLOUDTUNE_ATTEMPT"], found["CLOUDTUNE_RUN"]) == ("4", "2", "r-1")
    assert found["CLOUDTUNE_PARENT_CHECKPOINT_DIR"] == str(tmp_path / "files" / "1" / "checkpoint")
