"""A provider that the core has never heard of: everything that makes it special comes with its own distribution."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

import cloudtune
from cloudtune import TuningJob, api
from cloudtune.config import load_profile
from cloudtune.errors import ConfigError, SpecError
from cloudtune.plugins.entry_points import DEFAULT, aliases, pools, providers
from cloudtune.plugins.extras import install_provider, missing
from cloudtune.provider.interface import load_provider
from cloudtune.remote.bundle import _requirements
from cloudtune.spec.schema import job_schema

METADATA = """\
Metadata-Version: 2.1
Name: cloudtune-mycloud
Version: 1.2
Requires-Dist: cloudtune>=0.1
Requires-Dist: mycloud-common>=2
Provides-Extra: mycloud
Requires-Dist: mycloud-sdk>=3; extra == "mycloud"
Provides-Extra: mycloud-emulator
Requires-Dist: mycloud-moto>=1; extra == "mycloud-emulator"
"""

POINTS = """\
[cloudtune.providers]
mycloud = cloudtune_mycloud.provider:MyCloud

[cloudtune.aliases]
mc = mycloud
gone = notinstalled
"""

PROVIDER = """\
from cloudtune.planning.plan import Beside, Ledger, Support, leaves
from cloudtune.provider.driven import DrivenProvider


class MyCloud(DrivenProvider):
    name = "mycloud"
    summary = "a made-up cloud"
    support = {"native": (Support.APPROXIMATE, "settings of another provider: of no effect here")}

    abandon = check = launcher = logs = None  # it only plans

    def plan(self, job):
        ledger = Ledger(self.name)
        ledger.note_other_natives(job, *self.support["native"])
        ledger.carry(self.name, "machine")
        for path, _ in leaves(job):
            if not path.startswith(("mycloud", "native", "sagemaker")):
                ledger.carry(path, Beside.PLAN)
        return ledger.close(job, "driven", {"machine": dict(job.native_settings(self.name))})
"""

EMULATOR = "import mycloud_moto\n"

JOB = """\
name: strange
trial: {command: "true"}
objective: {metric: loss, goal: minimize}
space:
  x: {type: float, low: 0, high: 1}
limits: {trials: 2}
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of an installed distribution; its modules fail when they are imported, until they are written anew."""
    info = tmp_path / "site" / "cloudtune_mycloud-1.2.dist-info"
    package = tmp_path / "site" / "cloudtune_mycloud"
    (package / "emulator").mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(POINTS)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield package
    for name in [name for name in sys.modules if name.startswith("cloudtune_mycloud")]:
        del sys.modules[name]


def _written(package: Path, provider: str = PROVIDER) -> None:
    (package / "__init__.py").write_text("")
    (package / "provider.py").write_text(provider)
    (package / "emulator" / "__init__.py").write_text(EMULATOR)


def test_its_names_are_known_without_an_import(stranger: Path, tmp_path: Path) -> None:
    assert "mycloud" in providers()
    assert aliases()["mc"] == "mycloud"
    assert "gone" not in aliases(), "an alias of what is not installed says nothing"
    assert load_profile("mc", tmp_path).provider == "mycloud"
    with pytest.raises(ConfigError, match="did you mean 'mycloud'"):
        load_profile("myclod", tmp_path)
    assert "cloudtune_mycloud" not in sys.modules


@pytest.mark.parametrize("key", ["mycloud", "mc"])
def test_its_native_settings_have_a_key_of_their_own(stranger: Path, key: str) -> None:
    job = TuningJob.from_yaml(f"{JOB}{key}: {{zone: north}}\n")
    below = TuningJob.from_yaml(f"{JOB}native: {{{key}: {{zone: north}}}}\n")
    made = TuningJob.from_data(
        {**json.loads(json.dumps(job.to_data())), key: {"zone": "north"}}
        | ({} if key == "mycloud" else {"mycloud": {}})
    )
    assert job == below == made == TuningJob.from_yaml(job.to_yaml())
    assert job.mycloud == job.native_settings("mycloud") == {"zone": "north"}
    assert job.to_yaml().splitlines()[-1] == "mycloud: {zone: north}"
    jsonschema.validate({**job.to_data(), "mycloud": {}, key: {"zone": "north"}}, job_schema())
    assert "cloudtune_mycloud" not in sys.modules


def test_a_mistake_in_them_is_told_where_it_is(stranger: Path) -> None:
    with pytest.raises(SpecError, match=r"line 7, column 5: mc: must be a mapping .* not the number 5"):
        TuningJob.from_yaml(f"{JOB}mc: 5\n")
    with pytest.raises(SpecError, match="settings under mycloud and under native.mc"):
        TuningJob.from_yaml(f"{JOB}mycloud: {{a: 1}}\nnative: {{mc: {{b: 2}}}}\n")
    with pytest.raises(SpecError, match="did you mean 'mycloud'"):
        TuningJob.from_yaml(f"{JOB}myclod: {{a: 1}}\n")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**TuningJob.from_yaml(JOB).to_data(), "mycloud": 5}, job_schema())


def test_plans_account_for_them(stranger: Path, tmp_path: Path) -> None:
    _written(stranger)
    job = TuningJob.from_yaml(f"{JOB}mycloud: {{zone: north}}\nsagemaker: {{Tags: []}}\n")
    own = load_provider("mycloud")({}).plan(job)
    assert own.request == {"machine": {"zone": "north"}}
    assert own.support("mycloud.zone").value == "exact"
    assert own.support("sagemaker.Tags").value == "approximate"
    other = api.plan(job, DEFAULT, project=tmp_path)
    assert {note.path for note in other.notes} >= {"mycloud", "sagemaker"}
    other.refuse()


def test_a_stored_job_can_be_read_where_the_provider_is_gone(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = TuningJob.from_yaml(f"{JOB}mycloud: {{zone: north}}\n")
    stored = json.dumps(job.to_data(portable=True))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(stranger.parent)])
    found = TuningJob.from_data(json.loads(stored))
    assert found == job
    assert "native:" in found.to_yaml()
    with pytest.raises(AttributeError):
        _ = found.mycloud


def test_what_it_needs_is_named_by_its_own_distribution(stranger: Path) -> None:
    _written(stranger, "import mycloud_sdk.client\n")
    with pytest.raises(ConfigError, match=r"pip install 'cloudtune-mycloud\[mycloud\]'"):
        load_provider("mycloud")
    assert install_provider("mycloud", "emulator") == "pip install 'cloudtune-mycloud[mycloud-emulator]'"
    with pytest.raises(ModuleNotFoundError) as caught:
        import cloudtune_mycloud.emulator  # noqa: F401
    assert "'cloudtune-mycloud[mycloud-emulator]'" in str(missing(caught.value))
    assert {"mycloud-common>=2", "mycloud-sdk>=3"} <= set(_requirements([providers()["mycloud"]]))
    assert not any(each.startswith("cloudtune") for each in _requirements([providers()["mycloud"]]))


def test_a_module_that_the_users_own_code_lacks_is_not_the_providers(stranger: Path, tmp_path: Path) -> None:
    (tmp_path / "site" / "users_own.py").write_text("import nowhere_at_all\n")
    _written(stranger, "import users_own\n")
    with pytest.raises(ModuleNotFoundError) as caught:
        import cloudtune_mycloud.provider  # noqa: F401
    assert missing(caught.value) is None


# The core


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and text of every literal that is neither a docstring nor a command's help."""
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    } | {
        id(each.value) for node in ast.walk(tree) if isinstance(node, ast.Call) for each in node.keywords if each.arg == "help"
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in prose:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            yield node.lineno, text


def _identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            word = getattr(node, field, None)
            if isinstance(word, str) and not isinstance(node, ast.alias):
                yield getattr(node, "lineno", 0), word


def _mentions(source: str, names: set[str]) -> list[tuple[int, str]]:
    """Where a source names a provider: as a word of a literal, or as an identifier.

    A URI's scheme (``azureml://``), a part of a longer word (``aws_secret_access_key``, ``ray-tune``) and a folder
    (``.aws/``) are no names of providers. The default provider's name is an English word as well: it is one where it is
    the whole literal.
    """
    tree = ast.parse(source)
    special = names - {DEFAULT}
    word = re.compile(
        rf"(?<![\w.-])(?:{'|'.join(sorted(special))})(?![\w-]|://)|cloudtune_(?:{'|'.join(sorted(names))})\b"
    )
    found = [(line, text) for line, text in _texts(tree) if word.search(text) or text == DEFAULT]
    return found + [(line, text) for line, text in _identifiers(tree) if text.lower().replace("_", "") in special]


def test_the_core_names_no_provider() -> None:
    names = {*providers(), *aliases()}
    assert names >= {"sagemaker", "vertex", "azureml", "ray", "mixed", "local", "aws", "gcp", "azure"}
    assert pools()
    root = Path(cloudtune.__file__).parent
    found = [
        (str(path.relative_to(root)), line, text)
        for path in sorted(root.rglob("*.py"))
        for line, text in _mentions(path.read_text("utf-8"), names)
    ]
    defined = [each for each in found if each[0] == "plugins/entry_points.py" and each[2] == DEFAULT]
    assert len(defined) == 1, "the default provider's name stands in one constant"
    assert [each for each in found if each not in defined] == []


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('x = "sagemaker"', True),
        ('x = f"{y} on aws, too"', True),
        ('x = b"ray"', True),
        ("def run(vertex): ...", True),
        ("class SageMaker: ...", True),
        ('x = "cloudtune_ray.provider"', True),
        ('x = "local"', True),
        ('x = "a local path"', False),
        ('"""On sagemaker."""', False),
        ('option(help="such as sagemaker")', False),
        ('x = "azureml://datastores"', False),
        ('x = "aws_secret_access_key", ".aws/", "ray-tune"', False),
        ("from ray import tune", False),
    ],
)
def test_the_search_for_names_finds_them(source: str, named: bool) -> None:
    assert bool(_mentions(source, {*providers(), *aliases()})) is named
