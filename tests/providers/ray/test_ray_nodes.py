"""What runs on the nodes, and what comes back from them, each by itself: folders, files, logs, and no packages."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudtune.process.log_trimming import NOTE_SIZE, trim_log
from cloudtune.process.mirror import Mirror
from cloudtune.process.setting import TrialFiles
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.store.records import Report, Trial
from cloudtune_ray import shipping
from cloudtune_ray.actor import SlotActor
from cloudtune_ray.failures import in_words
from cloudtune_ray.node import attempt as attempts
from cloudtune_ray.node.attempt import Attempt
from cloudtune_ray.node.folders import RunFolder, unpack

BARE = """\
import asyncio, importlib.abc, os, sys

class OnlyTheStandardLibrary(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and not top.startswith("cloudtune"):
            raise ImportError(f"a node need not have {name}")
        if top.startswith("cloudtune") and not any(part.startswith(os.environ["TMPDIR"]) for part in sys.path[:1]):
            raise ImportError(f"{name} is not yet unpacked")

sys.meta_path.insert(0, OnlyTheStandardLibrary())
package = open(sys.argv[1], "rb").read()
scope = {}
exec(sys.argv[2], scope)

async def main():
    actor = scope["SlotActor"](package, "digest", 60.0)
    assert (await actor.status())["key"] is None
    await actor.prepare({"mark": "m", "code": None, "base": "/nowhere", "data": {}})
    import cloudtune_ray.node.slot
    print(cloudtune_ray.node.slot.__file__)

asyncio.run(main())
"""


def test_a_node_needs_the_standard_library_alone(tmp_path: Path) -> None:
    import cloudtune_ray.actor

    content, _ = shipping.package()
    (tmp_path / "package.zip").write_bytes(content)
    source = Path(cloudtune_ray.actor.__file__).read_text()
    command = [sys.executable, "-I", "-S", "-c", BARE, str(tmp_path / "package.zip"), source]
    ran = subprocess.run(command, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(tmp_path / f"cloudtune-ray-{os.getuid()}" / "package-digest"))


def test_the_package_is_the_same_each_time_and_has_a_name_of_its_content() -> None:
    shipping.package.cache_clear()
    content, digest = shipping.package()
    shipping.package.cache_clear()
    assert shipping.package() == (content, digest)
    assert len(content) < 2_000_000


def test_the_actors_class_travels_by_value() -> None:
    import cloudpickle

    import cloudtune_ray.actor

    cloudpickle.register_pickle_by_value(cloudtune_ray.actor)
    try:
        pickled = cloudpickle.dumps(SlotActor)
    finally:
        cloudpickle.unregister_pickle_by_value(cloudtune_ray.actor)
    code = "import pickle, sys; sys.modules['cloudtune_ray'] = None; print(pickle.load(sys.stdin.buffer).__name__)"
    ran = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True, check=True)
    assert ran.stdout == b"SlotActor\n"


# Folders


def test_the_last_slot_of_a_run_removes_its_folder(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path, "run"), RunFolder(tmp_path, "run")
    (first.path / "file").touch()
    first.leave()
    assert (second.path / "file").exists()
    second.leave()
    assert not second.path.exists()


def test_a_folder_whose_slots_were_killed_is_removed_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / ".lock").touch()
    (tmp_path / "dead" / "big").touch()
    used = RunFolder(tmp_path, "used")
    assert not (tmp_path / "dead").exists()
    RunFolder(tmp_path, "another").leave()
    assert used.path.exists()
    used.leave()


@given(names=st.lists(st.sampled_from(["a", "b/c", "b/d e", "ü"]), unique=True), size=st.integers(1, 5000))
def test_archives_are_unpacked_as_they_were(
    names: list[str], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for index, name in enumerate(names):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(bytes([index]) * size)
        (source / name).chmod(0o640 | index)
    (source / "link").symlink_to("a")
    pieces = shipping.archive_as_it_is(source, lambda data: data)
    asyncio.run(unpack([_soon(piece) for piece in pieces], target))
    assert _tree(target) == _tree(source)


def test_large_archives_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "_PIECE", 1000)
    (tmp_path / "file").write_bytes(os.urandom(5000))
    pieces = shipping.archive(tmp_path / "file", lambda data: data, "data.file")
    assert all(len(piece) == 1000 for piece in pieces[:-1])
    assert len(pieces) > 5
    (tmp_path / "new").mkdir()
    asyncio.run(unpack([_soon(piece) for piece in pieces], tmp_path / "new"))
    assert (tmp_path / "new" / "file").read_bytes() == (tmp_path / "file").read_bytes()


async def _soon(piece: bytes) -> bytes:
    return piece


def _tree(folder: Path) -> dict[str, Any]:
    return {
        path.relative_to(folder).as_posix(): path.readlink()
        if path.is_symlink()
        else (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


# What comes back

PATTERNS = metric_patterns([SimpleNamespace(metric="score", regex=None, source=None)], {})  # type: ignore[list-item]


@given(
    lines=st.lists(st.sampled_from(["score=1.5", "nothing", "score: 2", "äöü score=3", ""]), max_size=30),
    portion=st.integers(1, 40),
    crashes=st.sets(st.integers(0, 40)),
)
def test_a_log_arrives_whole_in_portions_whoever_asks(
    lines: list[str], portion: int, crashes: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the size of the portions, and also if the driver is replaced between two of them."""
    node, here = tmp_path_factory.mktemp("node"), tmp_path_factory.mktemp("here")
    text = "".join(f"{line}\n" for line in lines)
    attempt = Attempt({"key": "3.1"}, TrialFiles(str(node), 1), {})
    (node / "log.txt").write_text(text)
    attempt.ended = {"status": 0, "why": "", "message": "", "peak": 0}
    mirror, told = _mirror(here), []
    chunk, attempts.CHUNK = attempts.CHUNK, portion
    try:
        for turn in range(3000):
            if turn in crashes:
                mirror, told = _mirror(here), []
                told += mirror.take({})
            told += mirror.take(attempt.news(*mirror.known()))
            if mirror.ended is not None:
                break
    finally:
        attempts.CHUNK = chunk
    assert mirror.ended == attempt.ended
    assert (here / "log.txt").read_text() == text if text else not (here / "log.txt").exists()
    expected = [float(line.split()[-1].removeprefix("score=")) for line in lines if "score" in line]
    assert [report.metrics["score"] for report in told] == expected
    mirror.close()


@given(
    steps=st.lists(st.one_of(st.integers(1, 60), st.just("trim"), st.just("look"), st.just("crash")), max_size=40),
    portion=st.integers(8, 300),
)
def test_a_log_that_is_trimmed_on_its_node_arrives_with_a_note_of_what_is_left_out(
    steps: list[int | str], portion: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No line is made of parts that did not belong together, whenever the node or the driver leaves something out."""
    node, here = tmp_path_factory.mktemp("node"), tmp_path_factory.mktemp("here")
    origin, copy = TrialFiles(str(node), 1, log_size=512), TrialFiles(str(here), 1, log_size=512)
    attempt, written, told = Attempt({"key": "3.1"}, origin, {}), 0, []
    Path(origin.log).touch()
    mirror = Mirror(Trial(3, {}, attempt=1), copy, PATTERNS)
    chunk, attempts.CHUNK = attempts.CHUNK, portion
    try:
        for step in [*steps, "end"]:
            if step == "trim":
                trim_log(origin.log, 512)
            elif step == "crash":
                mirror.close()
                mirror = Mirror(Trial(3, {}, attempt=1), copy, PATTERNS)
            elif step in ("look", "end"):
                attempt.ended = {"status": 0, "why": "", "message": "", "peak": 0} if step == "end" else None
                told += mirror.take(attempt.news(*mirror.known()))
                while step == "end" and mirror.ended is None:
                    told += mirror.take(attempt.news(*mirror.known()))
            else:
                with Path(origin.log).open("a") as log:
                    for _ in range(int(step)):
                        written += 1
                        log.write(f"score={written}.5\n")
    finally:
        attempts.CHUNK = chunk
        mirror.close()
    values = [said.metrics["score"] for said in told if isinstance(said, Report)]
    assert all(value % 1 == 0.5 and value < written + 1 for value in values)
    assert mirror.known()[0] == sum(len(f"score={number}.5\n") for number in range(1, written + 1))
    assert not written or Path(copy.log).stat().st_size <= 512 + portion + NOTE_SIZE


def test_files_come_back_with_their_modes_and_nothing_goes_beyond_the_trials_folder(tmp_path: Path) -> None:
    node, here = tmp_path / "node", tmp_path / "here"
    (node / "output").mkdir(parents=True)
    (node / "output" / "run.sh").write_text("#!")
    (node / "output" / "run.sh").chmod(0o755)
    (node / "output" / "empty").touch()
    attempt = Attempt({"key": "3.1"}, TrialFiles(str(node), 1), {"output": str(node / "output")})
    attempt.ended = {"status": 0, "why": "", "message": "", "peak": 0}
    mirror = _mirror(here)
    mirror.take(attempt.news(0, 0))
    while (wanted := mirror.wanted()) is not None:
        mirror.receive(attempt.piece(*wanted))
    assert os.access(here / "output" / "run.sh", os.X_OK)
    assert (here / "output" / "empty").read_bytes() == b""
    mirror.take({"ended": attempt.ended, "files": [("output/../../evil", 1, 0o644)]})
    assert mirror.wanted() == ("output/../../evil", 0)
    with pytest.raises(OSError, match="is not a name below"):
        mirror.receive(b"x")


@pytest.mark.parametrize(
    ("ended", "stopped", "travels"),
    [
        ({"status": 0, "why": "", "message": ""}, False, False),
        ({"status": 0, "why": "", "message": ""}, True, True),
        ({"status": 256, "why": "", "message": ""}, False, True),
        ({"status": 9, "why": "memory", "message": ""}, False, True),
    ],
)
def test_a_checkpoint_travels_back_if_another_attempt_may_want_it(
    ended: dict[str, Any], stopped: bool, travels: bool, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state").write_text("x")
    attempt = Attempt({"key": "3.1"}, TrialFiles(str(tmp_path), 1), {"checkpoint": str(tmp_path / "checkpoint")})
    attempt.ended, attempt.stopped = ended, stopped
    assert [name for name, _, _ in attempt.news(0, 0)["files"]] == (["checkpoint/state"] if travels else [])


def _mirror(folder: Path) -> Mirror:
    return Mirror(Trial(3, {}, attempt=1), TrialFiles(str(folder), 1), PATTERNS)


# What went wrong


def test_what_ray_says_is_told_in_words() -> None:
    import ray
    from ray import exceptions

    text = "The actor died.\n\tip: 10.0.0.7\nThe actor died because its node has died."
    died = exceptions.RayActorError(error_msg=text)
    assert in_words(ray, died) == "its node 10.0.0.7 died"
    env = exceptions.RuntimeEnvSetupError("Traceback\n  File x\nModuleNotFoundError: No module named 'virtualenv'")
    assert (
        in_words(ray, env)
        == "its runtime environment could not be made: ModuleNotFoundError: No module named 'virtualenv'"
    )
    assert "ran out of memory" in in_words(ray, exceptions.OutOfMemoryError("too much"))
    task = exceptions.RayTaskError("f", "Traceback\nOSError: no space", OSError("no space"))
    assert in_words(ray, task) == "OSError: no space"


def test_what_raylets_say_is_printed_where_it_can_be_hushed() -> None:
    import inspect

    from ray._private import worker

    assert "print_to_stdstream(" in inspect.getsource(worker.listen_error_messages)
    assert callable(worker.print_to_stdstream)
