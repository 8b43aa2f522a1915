"""How an emulator of any service starts: on which port, with which folders, and what its plugin for pytest loads and leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from emulator_requests import CLASSES, address, emulator_of
from late import LATE

from cloudtune.errors import ConfigError

if LATE:
    pytest.importorskip("moto")
    pytest.importorskip("google.cloud.aiplatform")
    pytest.importorskip("azure.ai.ml")


@pytest.mark.parametrize("service", CLASSES)
def test_a_port_that_is_taken_is_told(service: str, emulators: Mapping[str, Any]) -> None:
    port = urlsplit(address(emulators[service])).port
    with pytest.raises(ConfigError, match="another port"), emulator_of(service, port=port):
        pass


@pytest.mark.parametrize(
    ("service", "place"),
    [
        ("sagemaker", "s3://data/train"),
        ("vertex", "gs://data/train"),
        ("azureml", "azureml://datastores/workspaceblobstore/paths/train"),
    ],
)
def test_a_folder_that_is_not_there_is_not_mounted(service: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"), emulator_of(service, mounts={place: tmp_path / "missing"}):
        pass


def test_the_plugins_of_pytest_load_no_sdk() -> None:
    plugins = ", ".join(["cloudtune.testing.plugin", *(f"cloudtune_{service}.pytest_plugin" for service in CLASSES)])
    code = f"import sys, {plugins}\nprint(*{{'moto', 'boto3', 'google.api_core', 'azure.core'}} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("service", CLASSES)
def test_what_a_test_sets_over_the_emulators_variables_is_gone_after_it(service: str) -> None:
    before = dict(os.environ)
    emulated = import_module(f"cloudtune_{service}.emulator.fixture").emulated
    with pytest.MonkeyPatch.context() as monkeypatch, emulated(monkeypatch):
        monkeypatch.setenv(f"CLOUDTUNE_{service.upper()}_POLL", "9")
    assert dict(os.environ) == before
