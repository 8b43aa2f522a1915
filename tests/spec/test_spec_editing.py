"""Values are changed in a job's YAML, and all else stays as it stands."""

from typing import Any

import pytest
import yaml

from cloudtune.spec.text.editing import CannotEdit, with_values

TEXT = """\
# of the job
name: x   # its name
data:     # inputs
  # the first
  train: s3://a/b   # big
  "test": {aws: 's3://c'}

output: >
  s3://out
trial: {command: run, image: a:1}
compute:
  instance: m   # a machine
identity:
  role
"""


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({}, {}),
        ({("data", "train"): "gs://a/b"}, {"  train: s3://a/b   # big": "  train: gs://a/b   # big"}),
        ({("data", "test"): {"gcp": "gs://c"}}, {"  \"test\": {aws: 's3://c'}": '  "test": {gcp: gs://c}'}),
        ({("trial", "image"): "b:2"}, {"trial: {command: run, image: a:1}": 'trial: {command: run, image: b:2}'}),
        ({("output",): "gs://o"}, {"output: >\n  s3://out": "output: gs://o"}),
        ({("identity",): None}, {"identity:\n  role\n": ""}),
        ({("identity",): "other"}, {"identity:\n  role": "identity: other"}),
        ({("compute",): None}, {"compute:\n  instance: m   # a machine\n": ""}),
        ({("compute", "cpus"): 2}, {"  instance: m": "  cpus: 2\n  instance: m"}),
        ({("more",): "word", ("absent",): None}, {"name: x": "more: word\nname: x"}),
    ],
)  # fmt: skip
def test_only_what_is_asked_for_changes(values: dict[tuple[str, ...], Any], changed: dict[str, str]) -> None:
    expected = TEXT
    for old, new in changed.items():
        assert old in expected
        expected = expected.replace(old, new)
    found = with_values(TEXT, values)
    assert found == expected
    assert yaml.safe_load(found)


@pytest.mark.parametrize(
    "values", [{("trial", "image"): None}, {("trial", "function"): "f"}, {("network", "name"): "x"}]
)
def test_what_has_no_line_of_its_own_is_not_edited(values: dict[tuple[str, ...], Any]) -> None:
    with pytest.raises(CannotEdit):
        with_values(TEXT, values)
