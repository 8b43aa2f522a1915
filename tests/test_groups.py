"""Tests of one group run in one worker of pytest-xdist, which a new pytest may break without a word."""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
CONFTEST = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("conftest_of_all", {str(TESTS / "conftest.py")!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pytest_addoption, pytest_collection_modifyitems = module.pytest_addoption, module.pytest_collection_modifyitems
"""
TEST = """
import os, pathlib, pytest
@pytest.mark.parametrize("number", range(6))
def test_it(number):
    with pathlib.Path(os.environ["SEEN"]).open("a") as file:
        file.write(f"{group} {{os.environ['PYTEST_XDIST_WORKER']}}\\n")
"""


def test_the_tests_of_a_group_run_in_one_worker(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for folder, name in (("vertex", "one"), ("vertex", "two"), ("sagemaker", "three"), ("other", "four")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"test_{name}.py").write_text(TEST.format(group=folder))
    (tmp_path / "other" / "test_five.py").write_text("import pytest\npytestmark = pytest.mark.xdist_group('own')\n" + TEST.format(group="own"))  # fmt: skip
    words = ["-p", "xdist", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "-q", str(tmp_path)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(TESTS / "support"), "SEEN": str(tmp_path / "seen"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    workers = defaultdict(set)
    lines = (tmp_path / "seen").read_text().splitlines()
    assert len(lines) == 30
    for line in lines:
        group, worker = line.split()
        workers[group].add(worker)
    assert {group: len(workers[group]) for group in ("vertex", "sagemaker", "own")} == {
        "vertex": 1,
        "sagemaker": 1,
        "own": 1,
    }
    assert len(set.union(*workers.values())) == 2
