"""The pytest plugin: makes assertions in the conformance suite explain themselves."""

import pytest

pytest.register_assert_rewrite("cloudtune.testing.conformance")
