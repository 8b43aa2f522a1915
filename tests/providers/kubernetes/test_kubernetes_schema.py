"""The fields that are written down are those of the official client."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from late import LATE

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.schema_update import installed, newer, written


@pytest.mark.complete
def test_what_is_written_down_is_what_the_client_knows() -> None:
    known = installed()
    if version("kubernetes") == written().version:
        assert known == written()
    else:  # an older client lacks fields, a newer one has more
        assert known.models["V1PodSpec"].keys() & written().models["V1PodSpec"].keys() >= {"containers", "tolerations"}


def test_a_newer_client_is_asked_for_what_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudtune_kubernetes.schema_update.metadata.version", lambda _: "999.0")
    newer.cache_clear()
    found = newer()
    newer.cache_clear()
    assert found is not None
    assert found.models["V1JobSpec"]["template"].required
