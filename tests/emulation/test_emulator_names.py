"""An emulator is found by each path that programs import it from."""

from importlib import import_module

import pytest


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("cloudtune_sagemaker", "SageMakerEmulator"),
        ("cloudtune_vertex", "VertexEmulator"),
        ("cloudtune_azureml", "AzureMlEmulator"),
    ],
)
def test_one_class_has_three_names(package: str, name: str) -> None:
    short = import_module(f"{package}.emulator")
    assert getattr(import_module(f"{package}.emulator.emulator"), name) is getattr(short, name) is short.Emulator
