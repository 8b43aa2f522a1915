"""Bytes in requests to the emulated Kubernetes: where Go's decoder gives a text up, as a real API server (1.35) did with 300 texts of chance."""

import pytest

from cloudtune_kubernetes.emulator.base64_text import illegal_at


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", None), ("YWJj", None), ("YWI=", None), ("YQ==", None), ("YQ=\n=", None), ("YW\nJj", None),
        ("YWJj*", 4), ("YWJ", 0), ("YWJjY", 4), ("Y=", 1), ("=", 0), ("YQ=", 3), ("YQ=a", 2), ("YWI=a", 4), ("YQ===", 4), ("-YWJ", 0),
    ],
)  # fmt: skip
def test_a_text_is_given_up_where_a_real_server_does(text: str, place: int | None) -> None:
    assert illegal_at(text) == place
