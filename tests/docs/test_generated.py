"""The pages that are made of the code have all of it."""

import sys
from pathlib import Path
from typing import Any

import click
from snippets import ROOT

from cloudtune.cli.app import app, run_app
from cloudtune.plugins.entry_points import providers
from cloudtune.spec.schema import field_docstrings, job_schema

sys.path.append(str(ROOT / "docs"))

from generate.cli_page import cli_page
from generate.config_page import config_page, settings_of
from generate.spec_page import spec_page


def test_every_field_of_a_job_and_of_its_parts_is_said_with_its_meaning() -> None:
    page, job = spec_page(), job_schema()
    own = [
        name for name in job["properties"] if job["properties"][name]["description"].startswith("Native settings of")
    ]
    models: list[dict[str, Any]] = [job, *(part for part in job["definitions"].values() if "properties" in part)]
    for model in models:
        for name, field in model["properties"].items():
            if "const" in field:
                assert f"`type: {field['const']}`" in page
            elif name not in own:
                meaning = " ".join(field["description"].split()).replace("|", "\\|")
                assert any(
                    line.startswith(f"| `{name}` |") and line.endswith(f"| {meaning} |") for line in page.splitlines()
                ), name
    assert all(f"`{name}`" in page for name in own)


def test_every_setting_of_a_profile_is_said_with_its_meaning() -> None:
    page = config_page()
    for model in filter(None, map(settings_of, sorted(providers()))):
        meanings = field_docstrings(model)
        assert set(model.model_fields) == set(meanings) & set(model.model_fields), (
            f"{model} has settings without a text"
        )
        assert all(f"| `{name}` |" in page for name in model.model_fields)


def test_the_example_project_has_the_script_that_init_writes(tmp_path: Path) -> None:
    assert run_app(["init", str(tmp_path)]) == 0
    assert (ROOT / "docs/generate/project/train.py").read_text("utf-8") == (tmp_path / "train.py").read_text("utf-8")


def test_every_command_and_option_is_said() -> None:
    page, context = cli_page(), click.Context(app)
    for name in app.list_commands(context):
        assert f"## `cloudtune {name}`" in page
        command = app.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(option in page for option in parameter.opts)
