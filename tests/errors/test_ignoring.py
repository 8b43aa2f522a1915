"""Answers that mean that nothing is there."""

import pytest

from cloudtune.errors import ConfigError, ProviderError, ignoring


def test_errors_of_the_given_codes_alone_are_ignored() -> None:
    with ignoring({"404"}):
        raise ProviderError("no such job", code="404")
    with pytest.raises(ProviderError), ignoring({"404"}):
        raise ProviderError("a conflict", code="409")
    with pytest.raises(ConfigError), ignoring({"404", ""}):
        raise ConfigError("no region")
