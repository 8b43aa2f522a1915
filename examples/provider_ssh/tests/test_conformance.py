"""The provider passes cloudtune's conformance suite, on a real sshd."""

import pytest

from cloudtune.testing import ProviderConformance


class TestSsh(ProviderConformance):
    @pytest.fixture
    def project(self, project):
        return project

    @pytest.fixture
    def on(self, lab):
        return lab
