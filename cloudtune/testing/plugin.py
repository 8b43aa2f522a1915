"""The pytest plugin: rewrite assertions in the conformance suite, so that failures show values."""

import pytest

pytest.register_assert_rewrite("cloudtune.testing.conformance")
