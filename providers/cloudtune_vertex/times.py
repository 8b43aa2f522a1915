"""Times as the service tells them."""

from datetime import datetime


def moment(text: str | None) -> float | None:
    """Seconds since 1970 from a `google.protobuf.Timestamp` in JSON; None for none."""
    return None if text is None else datetime.fromisoformat(text).timestamp()
