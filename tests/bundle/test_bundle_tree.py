"""Which files of a folder travel: one rule for source and data, on every provider."""

import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune import TuningJob
from cloudtune.bundle import package
from cloudtune.bundle import shipment as packing
from cloudtune.bundle.package import view_of
from cloudtune.bundle.source import copy_source
from cloudtune.bundle.tree import Excluded, File, Tree, Why, shown, tree_of
from cloudtune.bundle.upload import _refuse_changed
from cloudtune.errors import SpecError
from cloudtune.space.codecs import ValuesAsText
from cloudtune.space.space_codec import Flattened
from cloudtune_ray.shipping import archive
from cloudtune_sagemaker import container

if LATE:
    from cloudtune_azureml.storage import _with_path


def job_of(**trial: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "packed",
            "trial": {"source": "src", "command": "python train.py", **trial},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"kind": {"type": "categorical", "values": ["a", "b"]}},
            "limits": {"trials": 1},
        }
    )


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A source with all kinds of entries."""
    source, outside = tmp_path / "src", tmp_path / "outside"
    for folder in (source / "pkg", source / "empty", outside / "deep"):
        folder.mkdir(parents=True)
    (source / "train.py").write_text("print()")
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "pkg/a.py").write_text("a")
    os.link(source / "pkg/a.py", source / "pkg/b.py")
    (outside / "util.py").write_text("util")
    (outside / "deep/more.py").write_text("more")
    (source / "util.py").symlink_to("../outside/util.py")
    (source / "lib").symlink_to("../outside", target_is_directory=True)
    (source / "chain").symlink_to("lib/deep")
    (source / "pkg/up").symlink_to("..")
    (source / "loop").symlink_to("loop")
    (source / "gone.py").symlink_to("nowhere")
    os.mkfifo(source / "pipe")
    here = Path.cwd()
    os.chdir(source)  # the path of a socket may be short only
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("ipc.sock")
        os.chdir(here)
        yield tmp_path
    os.chdir(here)


TRAVELS = {
    "train.py", "run.sh", "pkg/a.py", "pkg/b.py", "util.py", "lib/util.py", "lib/deep/more.py", "chain/more.py",
}  # fmt: skip
STAYS = {
    Excluded("empty", Why.EMPTY), Excluded("gone.py", Why.DANGLING), Excluded("ipc.sock", Why.SPECIAL), Excluded("loop", Why.DANGLING),
    Excluded("pipe", Why.SPECIAL), Excluded("pkg/up", Why.CYCLE),
}  # fmt: skip


def test_links_are_followed_and_what_cannot_travel_is_named(base: Path) -> None:
    tree = tree_of(base / "src")
    assert {file.name for file in tree.files} == TRAVELS
    assert set(tree.excluded) == STAYS
    assert [file.name for file in tree.files if file.executable] == ["run.sh"]


def unpacked(path: Path, target: Path) -> set[str]:
    with tarfile.open(path) as packed:
        assert all(member.isreg() for member in packed.getmembers())
        packed.extractall(target, filter="data")
    return {file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()}


def test_a_cloud_this_machine_and_ray_get_the_same_tree(base: Path) -> None:
    job = job_of()
    codec = Flattened(job.search_space(), lambda _: [ValuesAsText])
    packing.pack(job, codec, base, base / "assets", provider="sagemaker", contract=Path(container.__file__))
    travelled = unpacked(base / "assets/sourcedir.tar.gz", base / "cloud") - {
        "cloudtune_trial.py",
        "cloudtune_job.json",
    }
    in_cloud = {name for name in travelled if not name.startswith("cloudtune_helper/")}
    copy_source(job, base, base / "local")
    here = {file.relative_to(base / "local").as_posix() for file in (base / "local").rglob("*") if file.is_file()}
    pieces: list[bytes] = []
    archive(base / "src", pieces.append, "data.train")
    (base / "ray.tar").write_bytes(b"".join(pieces))
    assert in_cloud == here == unpacked(base / "ray.tar", base / "ray") == TRAVELS
    assert not any(path.is_symlink() for path in (base / "local").rglob("*"))
    for folder in ("cloud", "local", "ray"):
        assert (base / folder / "util.py").read_text() == "util"
        assert os.access(base / folder / "run.sh", os.X_OK)
        assert not os.access(base / folder / "train.py", os.X_OK) or (base / folder / "train.py").stat().st_mode & 0o111 == 0  # fmt: skip


def test_data_is_uploaded_as_the_source_is_packed(base: Path) -> None:
    (base / "link").symlink_to("src")
    for place in ("src", "link"):
        _, files = packing.data_uploads(base / place)
        assert {file.key for file in files} == TRAVELS
    _, single = packing.data_uploads(base / "src/util.py")
    assert [file.key for file in single] == ["util.py"]


def test_programs_that_read_in_place_see_what_travels(base: Path) -> None:
    view = view_of(base / "src", base / "view")
    seen = {Path(folder, name).relative_to(view).as_posix() for folder, _, names in os.walk(view) for name in names}
    assert seen == TRAVELS
    assert view_of(base / "src/pkg/a.py", base / "other") == base / "src/pkg/a.py"
    assert view_of(base / "outside", base / "other") == base / "outside"
    # Azure's SDK uploads by itself, and opens what it finds.
    assert Path(_with_path({"path": "src"}, base, base / "azure")["path"]) == base / "azure"


def test_a_private_copy_is_its_owners_alone(base: Path) -> None:
    copy_source(job_of(), base, base / "local")
    packing.pack(job_of(), Flattened(job_of().search_space(), lambda _: [ValuesAsText]), base, base / "assets", provider="vertex", contract=Path(container.__file__))  # fmt: skip
    for folder in ("local", "assets"):
        assert (base / folder).stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in (base / folder).iterdir() if path.is_file())


@pytest.mark.parametrize(
    "name", ["new\nline.py", os.fsdecode(b"caf\xe9.py"), "d" * 200 + "/" + "e" * 200 + "/" + "f" * 200 + "/" + "g" * 200 + "/" + "h" * 200]
)  # fmt: skip
def test_a_name_that_some_service_refuses_is_told_before_anything_runs(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    (refused,) = tree_of(tmp_path).refused
    assert refused.why is Why.NAME
    assert shown(refused.name).isprintable()


def test_names_that_differ_in_case_and_odd_ones_travel(tmp_path: Path) -> None:
    names = {"A.py", "a.py", "größe ✓.txt", "-dash", "with space", "~tilde", "#hash#", "back\\slash"}
    for name in names:
        (tmp_path / name).write_text(name)
    assert {file.name for file in tree_of(tmp_path).files} == names


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.bin").write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who reads all
    assert tree_of(tmp_path).refused == (Excluded("secret.bin", Why.UNREADABLE),)


def test_links_that_multiply_each_other_end(tmp_path: Path) -> None:
    for level in range(20):
        (tmp_path / str(level)).mkdir()
        for twin in ("x", "y"):
            (tmp_path / str(level) / twin).symlink_to(f"../{level + 1}")
    (tmp_path / "20").mkdir()
    assert not tree_of(tmp_path, limit=5_000).whole


def test_a_file_that_grows_is_taken_as_it_was_and_one_that_vanished_is_skipped(tmp_path: Path) -> None:
    growing = tmp_path / "log.txt"
    growing.write_bytes(b"x" * 3_000_000)
    files = [*tree_of(tmp_path).files, File("gone.txt", tmp_path / "gone.txt", 1, executable=False)]

    class Growing:
        """Appends to the file whenever something of it has been packed."""

        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:
            self.data += data
            with growing.open("ab") as more:
                more.write(b"more")
            return len(data)

    target = Growing()
    with tarfile.open(fileobj=target, mode="w|") as packed:  # type: ignore[call-overload]  # it writes, and that is all
        package.add_files(packed, files, "trial.source")
    (tmp_path / "packed.tar").write_bytes(target.data)
    with tarfile.open(tmp_path / "packed.tar") as packed:
        assert [(member.name, member.size) for member in packed.getmembers()] == [("log.txt", 3_000_000)]


def test_a_file_that_became_shorter_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.bin").write_bytes(b"short")
    whole = os.stat_result([0o100644, 0, 0, 1, 0, 0, 500, 0, 0, 0])
    monkeypatch.setattr(os, "fstat", lambda _: whole)
    with tarfile.open(tmp_path / "x.tar", "w") as packed, pytest.raises(SpecError, match=r"model\.bin became shorter"):
        package.add_files(packed, tree_of(tmp_path).files, "trial.source")


def test_a_pipe_that_took_a_files_place_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "was.txt").write_text("file")
    files = tree_of(tmp_path).files
    (tmp_path / "was.txt").unlink()
    os.mkfifo(tmp_path / "was.txt")
    package.copy_files(files, tmp_path / "copy", "trial.source")
    assert list((tmp_path / "copy").iterdir()) == []


def test_data_that_changes_while_it_is_uploaded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1")
    _, files = packing.data_uploads(tmp_path)
    _refuse_changed("data:train", files)
    (tmp_path / "rows.csv").write_text("1,2")
    with pytest.raises(RuntimeError, match=r"rows\.csv changed while it was uploaded"):
        _refuse_changed("data:train", files)


def test_a_single_special_file_holds_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert tree_of(tmp_path / "pipe") == Tree((), (Excluded("pipe", Why.SPECIAL),))
