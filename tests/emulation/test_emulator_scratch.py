"""Where emulated machines have their temporary files, and that these go with the machines."""

import sys
from pathlib import Path

import pytest

from cloudtune.emulation.processes import Processes, Start
from cloudtune.emulation.starting import environment_of
from cloudtune.emulation.stop_requests import StopRequests
from cloudtune.emulation.workplace import Workplace

LEAVES = "import os, signal, tempfile; tempfile.mkdtemp(); print(tempfile.gettempdir()); os.kill(os.getpid(), signal.SIGKILL)"
SOCKET = (
    "import multiprocessing\nif __name__ == '__main__':\n    with multiprocessing.Manager() as m: print(m.list([1]))"
)


def outputs(workplace: Workplace, folder: Path, *programs: str) -> list[str]:
    """Run each program on a machine of its own, with the variables of the emulators' machines; return what they print."""
    starts = []
    for number, program in enumerate(programs):
        scratch, home = workplace.scratch(), folder / f"home{number}"
        starts.append(
            Start([sys.executable, "-c", program], environment_of({}, folder, home, scratch), folder, scratch)
        )
    lines: list[str] = []
    processes = Processes(
        starts, mark=folder, grace=5, on_line=lambda _, line: lines.append(line), stop_requests=StopRequests()
    )
    processes.run([], lambda: None)
    return lines


@pytest.mark.parametrize("given", [True, False], ids=["in a folder of the user's", "in its own"])
def test_what_a_killed_program_leaves_goes_with_its_machine(short: Path, tmp_path: Path, given: bool) -> None:
    workplace = Workplace(tmp_path / "given" if given else None, "sagemaker")
    first, second = outputs(workplace, tmp_path, LEAVES), outputs(workplace, tmp_path, LEAVES)
    assert first != second
    assert Path(first[0]).is_relative_to(short)
    assert not Path(first[0]).exists()
    workplace.close()
    assert list(short.iterdir()) == []
    assert (tmp_path / "given").is_dir() == given


def test_a_machine_can_make_sockets_in_its_temporary_folder(short: Path, tmp_path: Path) -> None:
    workplace = Workplace(None, "sagemaker")
    assert outputs(workplace, tmp_path, SOCKET) == ["[1]"]
    workplace.close()


def test_where_the_systems_folder_lies_too_deep_it_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ("d" * 30)).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("d" * 30)))
    workplace = Workplace(None, "sagemaker")
    assert workplace.scratch() is None
    workplace.close()
