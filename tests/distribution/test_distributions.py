"""What is published: the wheel and the source distribution, and a provider that others build on them."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from own_processes import MARK

from cloudtune.plugins.version import __version__

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "provider_ssh"
SMOKE = ROOT / "tests" / "support" / "wheel_smoke.py"

pytestmark = pytest.mark.xdist_group("distribution")

BLOCKED = """\
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("boto3", "botocore", "azure", "ray", "moto") or name.startswith("google.cloud"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""


@dataclass(frozen=True)
class Built:
    """The files of `python -m build`; the wheel is built from the source distribution."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return Built(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


def test_the_wheel_holds_the_packages_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
    ours = {folder.name for folder in (ROOT / "providers").iterdir() if (folder / "__init__.py").is_file()}
    expected = {"cloudtune", "hydra_plugins", *ours, f"cloudtune-{__version__}.dist-info"}
    assert {name.partition("/")[0] for name in names} == expected
    assert f"cloudtune-{__version__}.dist-info/licenses/LICENSE" in names
    assert "cloudtune/py.typed" in names
    data = [path for path in (ROOT / "providers").rglob("*.json") if "__pycache__" not in path.parts]
    assert data
    assert {path.relative_to(ROOT / "providers").as_posix() for path in data} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_source_distribution_holds_what_building_and_testing_take(built: Built) -> None:
    top = f"cloudtune-{__version__}"
    with tarfile.open(built.sdist) as sdist:
        names = {name.removeprefix(f"{top}/") for name in sdist.getnames()}
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", "tests/support/late.py"}
    wanted |= {"mkdocs.yml", "docs/index.md", "docs/generate/project/job.yaml"}
    assert {*wanted, "examples/provider_ssh/cloudtune_ssh/provider.py"} <= names
    assert not {name for name in names if name.startswith("benchmarks/")}, "they compare with peers, and are no tests"


def test_no_path_of_a_machine_is_published(built: Built) -> None:
    private = re.compile("|".join(re.escape(place) for place in (f"{ROOT}/", f"{Path.home()}/", sys.prefix)))
    with tarfile.open(built.sdist) as sdist, zipfile.ZipFile(built.wheel) as wheel:
        files = [(member.name, sdist.extractfile(member)) for member in sdist.getmembers() if member.isfile()]
        texts = [(name, file.read()) for name, file in files if file is not None]
        texts += [(name, wheel.read(name)) for name in wheel.namelist()]
    assert not [name for name, text in texts if private.search(text.decode("utf-8", "replace"))]


def test_plans_of_every_provider_work_from_the_wheel_without_an_sdk(built: Built, tmp_path: Path) -> None:
    python = _environment(tmp_path / "venv", built.wheel)
    code = f"{BLOCKED}\nimport runpy\nrunpy.run_path({str(SMOKE)!r}, run_name='__main__')"
    *planned, place = _run(str(python), "-P", "-c", code, cwd=tmp_path).splitlines()
    assert {line.partition(":")[0] for line in planned} >= {
        "azureml",
        "databricks",
        "kubernetes",
        "local",
        "mixed",
        "ray",
        "sagemaker",
        "slurm",
        "vertex",
    }
    assert place.startswith(str(tmp_path)), "the installed wheel is meant, not the folder of the sources"


@pytest.mark.complete
@pytest.mark.timeout(1500)
def test_a_provider_of_others_passes_its_suite_with_the_wheels(built: Built, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    _run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(wheels), str(EXAMPLE))
    python = _environment(tmp_path / "venv", built.wheel, *wheels.iterdir())
    words = ["-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", str(EXAMPLE), str(EXAMPLE / "tests")]
    said = _run(str(python), "-P", "-m", "pytest", "-q", "-rs", *words, cwd=tmp_path)
    if "there is no sshd" in said:
        pytest.skip("there is no sshd; apt-get install openssh-server")
    assert " passed" in said


def test_the_changelog_begins_with_the_version_that_is_built() -> None:
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    assert heads[0].startswith(f"[{__version__}] - ")


def test_a_provider_of_others_takes_no_more_than_300_lines() -> None:
    files = list((EXAMPLE / "cloudtune_ssh").glob("*.py"))
    assert files
    assert sum(len(file.read_text().splitlines()) for file in files) <= 300


def _environment(folder: Path, *wheels: Path) -> Path:
    """Make a virtual environment with wheels, whose dependencies are those of this one; needs no package index.

    Returns:
        Its interpreter.
    """
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", *map(str, wheels))
    own = next((folder / "lib").glob("python*")) / "site-packages"
    (own / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return python


def _run(*words: str, cwd: Path | None = None) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLOUDTUNE_", "PYTEST_")) or name == MARK
    }
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    return done.stdout
