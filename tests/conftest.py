"""What all tests share."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from amounts import COMPLETE
from hypothesis import HealthCheck, Phase, settings

pytest.register_assert_rewrite("cloud_runs", "places")

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


@pytest.fixture(autouse=True)
def _no_config_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see neither the user's config and projects nor what the environment says of cloudtune."""
    for name in [name for name in os.environ if name.startswith("CLOUDTUNE_") and name != "CLOUDTUNE_TEST_WORKER"]:
        monkeypatch.delenv(name)
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path_factory.mktemp("config")))


@pytest.fixture(autouse=True)
def _no_process_is_left_behind() -> Iterator[None]:
    """Every test ends the processes that it started: none of a run outlives it."""
    yield
    until = time.monotonic() + 10
    while (left := _processes_of_runs()) and time.monotonic() < until:
        threading.Event().wait(0.02)  # a keeper needs a moment for its own end
    assert not left, "processes of a run are still alive"


def _processes_of_runs() -> list[str]:
    """Command lines of living processes that stem from a run which this test process started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        mark = f"CLOUDTUNE_TEST_WORKER={os.getpid()}".encode()
        if mark in variables and any(variable.startswith(b"CLOUDTUNE_RUN=") for variable in variables):
            found.append(command)
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for what takes minutes."""
    parser.addoption(
        "--complete", action="store_true", help="run every cell of the matrix, every kill, and what else takes long"
    )
    parser.addoption("--minutes", type=float, help="skip what has not begun after so many minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long and shows what others show, too, unless all of it is wanted."""
    if not config.getoption("complete"):
        long = [item for item in items if item.get_closest_marker("complete")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that comes too late."""
    minutes = item.config.getoption("minutes")
    if minutes is not None and time.time() > float(os.environ[_BEGIN]) + 60 * minutes:
        pytest.skip(f"the {minutes:g} minutes are over")


_BEGIN = "PYTEST_BEGIN_OF_ALL"
"""Names the variable with the moment that all workers' minutes are counted from, in seconds since 1970."""


def pytest_configure(config: pytest.Config) -> None:
    """Mark everything that this test process starts, so that what is left behind can be found."""
    os.environ["CLOUDTUNE_TEST_WORKER"] = str(os.getpid())
    os.environ.setdefault(_BEGIN, str(time.time()))
    if config.getoption("complete"):
        os.environ[COMPLETE] = "1"
        settings.load_profile(
            "complete"
        )  # new examples each time; by default the same ones, so that a change is what fails
    config.addinivalue_line("markers", "complete: takes long and is run with --complete")
    config.addinivalue_line("markers", "thread_unsafe: of scikit-learn's own tests")
