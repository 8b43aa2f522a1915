"""What all tests share."""

import contextlib
import gc
import itertools
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import late
import pytest
from amounts import COMPLETE
from hypothesis import HealthCheck, Phase, settings
from own_processes import MARK, OwnProcesses, command_of

from cloudtune.errors import masking

pytest.register_assert_rewrite("cloud_runs", "places")
late.LATE = False

# Tests start interpreters by the hundred: without bytecode, each would compile the library anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Workers share the processors: further threads of linear algebra take a sixth more of their time, most of it waiting.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as nohup has it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A worker holds some millions of objects, of its tests and of SDKs: to look through them all takes a second each time.
gc.set_threshold(100_000, 50, 100)

settings.register_profile(  # how fast the machine is, says nothing of the code
    "default",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # explaining traces every line, for minutes
)
settings.register_profile("complete", settings.get_profile("default"), derandomize=False)
settings.load_profile("default")


@pytest.fixture(autouse=True, scope="module")
def _late_imports(request: pytest.FixtureRequest) -> None:
    """Load what a test file needs beyond this library when its first test runs."""
    late.run_late_blocks(request.module)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths for the tests' configs and data, another for each; nothing is there."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _no_config_of_the_user(monkeypatch: pytest.MonkeyPatch, _homes: Iterator[Path]) -> None:
    """Tests see neither the user's config and projects nor what the environment says of cloudtune."""
    for name in [name for name in os.environ if name.startswith("CLOUDTUNE_") and name != MARK]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(
        masking, "_known", set(masking._known)
    )  # else what is one test's secret stays masked in the next
    home = next(_homes)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))


@pytest.fixture(autouse=True)
def _no_search_through_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether to warn, Azure's SDK finds out by the sources of all callers: a third of what tests with it would take."""
    experimental = sys.modules.get("azure.ai.ml._utils._experimental")
    if experimental is not None:
        monkeypatch.setattr(experimental, "_should_skip_warning", lambda: True)


@pytest.fixture(scope="session")
def _own_processes() -> OwnProcesses:
    return OwnProcesses()


@pytest.fixture(autouse=True)
def _no_process_is_left_behind(_own_processes: OwnProcesses) -> Iterator[None]:
    """Every test ends the processes that it started: none of a run outlives it."""
    yield
    until = time.monotonic() + 60
    while (left := _own_processes.of_runs()) and time.monotonic() < until:
        threading.Event().wait(0.02)  # a keeper needs a moment for its own end
    commands = [command_of(pid) for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # so that the tests that follow do not fail for it, too
    assert not commands, "processes of a run are still alive"


@pytest.fixture(autouse=True, scope="session")
def _no_temporary_folder_is_left_behind() -> Iterator[None]:
    """What a session makes in the temporary folder, it removes: also emulators and programs that were killed."""
    yield
    emulated = sys.modules.get("cloudtune.provider.emulated")
    if emulated is not None:
        emulated._emulators.close()  # those of `submit(emulate=True)`, which else end with the process
    root, until = Path(os.environ["TMPDIR"]), time.monotonic() + 60
    while (left := _ours(root)) and time.monotonic() < until:
        threading.Event().wait(0.02)  # what cleans up after a killed emulator needs a moment
    assert not left, "temporary folders are left"


def _ours(root: Path) -> list[str]:
    """Return what is called as cloudtune's temporary folders are, without the cache that Ray's nodes keep."""
    return sorted(path.name for path in root.glob("cloudtune-*") if not path.name.startswith("cloudtune-ray-"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for what takes minutes."""
    parser.addoption(
        "--complete", action="store_true", help="run every cell of the matrix, every kill, and what else takes long"
    )
    parser.addoption("--minutes", type=float, help="skip what has not begun after so many minutes")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long and shows what others show, too, unless all of it is wanted."""
    for item in items:
        left = {name for mark in item.iter_markers("complete_are") for name in mark.args}
        if left & {item.name, getattr(item, "originalname", "")}:
            item.add_marker("complete")
    if not config.getoption("complete"):
        long = [item for item in items if item.get_closest_marker("complete")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    for item in items:
        if item.get_closest_marker("complete") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LONG))
    items.sort(key=_seconds, reverse=True)  # what takes longest begins first, so that no worker is left alone with it
    for item in items:
        group = _GROUPS.get(item.path.parent.name) or _GROUPS.get(item.path.stem)
        if group is not None and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
    if getattr(config.option, "loadgroup", False):  # which xdist sets in its workers
        for item in items:
            _name_group(item)


def _name_group(item: pytest.Item) -> None:
    """Put the group of a test behind its id, where xdist looks for it: the way in which xdist 3.8 does, pytest 9.2 does not see."""
    mark = item.get_closest_marker("xdist_group")
    structured = getattr(item, "_id", None)  # not before pytest 9.2
    if mark is not None and structured is not None:
        item._id = type(structured).parse(f"{item.nodeid}@{mark.args[0]}")  # type: ignore[attr-defined]


_LONG = 900
"""Seconds that a test of the complete suite may take where it says nothing: many examples on a machine that is busy."""

_GROUPS = {
    **{name: name for name in ("azureml", "databricks", "kubernetes", "remote", "sagemaker", "vertex")},
    **dict.fromkeys(("emulation", "mixed"), "services"),
    **dict.fromkeys(
        ("test_everywhere", "test_export_launch", "test_refused_runs", "test_steps", "test_warm_machines"), "services"
    ),
}
"""Folders and files whose tests one worker runs, by its group: else all would load the SDKs, which take seconds."""


def _seconds(item: pytest.Item) -> float:
    """Return how many seconds a test may take; 0 where it says nothing."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None else 0.0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that comes too late."""
    minutes = item.config.getoption("minutes")
    if minutes is not None and time.time() > float(os.environ[_BEGIN]) + 60 * minutes:
        pytest.skip(f"the {minutes:g} minutes are over")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import a worker's share of all test files, where all are collected.

    Every worker collects every file, at the same time. Where they have no bytecode, as in a fresh clone, each would
    compile them all, which takes longer than the rest of collecting; so each compiles its share, and loads the others'.
    """
    config = session.config
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None or config.args != config.getini("testpaths"):
        return
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    folder = Path(__file__).parent
    files = sorted(
        set(folder.rglob("test_*.py")) - set(folder.glob("frameworks/*"))
    )  # those have an environment of their own
    for path in files[number::count]:
        with contextlib.suppress(pytest.Collector.CollectError, pytest.skip.Exception):  # which collecting tells
            _ = pytest.Module.from_parent(session, path=path).obj


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what was collected out of all garbage collections: it stays as long as the process."""
    session.config.stash[late.COLLECTED] = frozenset(sys.modules)
    gc.freeze()


_BEGIN = "PYTEST_BEGIN_OF_ALL"
"""Names the variable with the moment that all workers' minutes are counted from, in seconds since 1970."""


def _own_temporary_folder(config: pytest.Config) -> None:
    """Give each test process a temporary folder of its own, with a short name as sockets need; pytest's stays where it was."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="ct", dir=os.environ["PYTEST_DEBUG_TEMPROOT"])
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_configure(config: pytest.Config) -> None:
    """Mark everything that this test process starts, so that what is left behind can be found."""
    os.environ[MARK] = str(os.getpid())
    os.environ.setdefault(_BEGIN, str(time.time()))
    _own_temporary_folder(config)
    if config.getoption("complete"):
        os.environ[COMPLETE] = "1"
        settings.load_profile(
            "complete"
        )  # new examples each time; by default the same ones, so that a change is what fails
    config.addinivalue_line("markers", "complete: takes long and is run with --complete")
    config.addinivalue_line(
        "markers", "complete_are(*names): the tests of a class, most often inherited, that are run with --complete"
    )
    config.addinivalue_line("markers", "thread_unsafe: of scikit-learn's own tests")
