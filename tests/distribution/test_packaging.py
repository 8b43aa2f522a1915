"""The image and the conda recipe are of this project as pyproject.toml has it; here they are read, not built."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from cloudtune import __version__

_ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_RECIPE: dict[str, Any] = yaml.safe_load((_ROOT / "recipe" / "recipe.yaml").read_text())
_IMAGE = (_ROOT / "Dockerfile").read_text()


def test_the_recipe_has_the_version_the_dependencies_and_the_command_of_the_project() -> None:
    assert _RECIPE["context"]["version"] == __version__
    wanted = [requirement.replace(">=", " >=") for requirement in _PROJECT["dependencies"]]
    assert _RECIPE["requirements"]["run"] == [f"python {_PROJECT['requires-python']}", *wanted]
    (command,) = _RECIPE["build"]["python"]["entry_points"]
    name, _, target = command.partition(" = ")
    assert _PROJECT["scripts"] == {name: target}
    assert _RECIPE["about"]["summary"] == _PROJECT["description"]
    assert _RECIPE["about"]["license"] == _PROJECT["license"]
    assert (_ROOT / _RECIPE["about"]["license_file"]).is_file()


def test_the_image_copies_what_the_build_needs_and_runs_without_rights() -> None:
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", _IMAGE, re.M) for word in line.split()}
    packages = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    needed = {
        "pyproject.toml",
        _PROJECT["readme"],
        *_PROJECT["license-files"],
        *(package.partition("/")[0] for package in packages),
    }
    assert copied == needed
    allowed = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == needed
    stages = _IMAGE.split("\nFROM ")
    last = stages[-1].splitlines()
    assert int(next(line for line in last if line.startswith("USER ")).removeprefix("USER ")) > 0
    assert not any(line.startswith(("RUN", "COPY")) for line in last[last.index("USER 10001") :])
    assert "pip install" not in stages[-1]  # what builds stays behind
    assert f"cloudtune:{__version__}" in _IMAGE
    assert 'ENTRYPOINT ["cloudtune"]' in last
