"""Read the scalars of TensorBoard's events: protocol buffers, read by their wire format without a library for them.

The messages are those of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto, tensor.proto; the
wire format is described in https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types
_FLOAT, _DOUBLE = 1, 2  # DataType of a tensor


class Scalars:
    """The scalars of one event.

    Args:
        step: as the program gave it; 0 also where it gave none.
        values: by their tags.
    """

    def __init__(self, step: int, values: dict[str, float]) -> None:
        self.step = step
        self.values = values


def scalars_of(data: bytes) -> Scalars | None:
    """Return the scalars of an event; None for one without any, and for what is no event."""
    step, values = 0, {}
    try:
        for number, kind, value in _fields(data):
            if number == 2 and kind == _VARINT:  # Event.step
                step = int(value) - (1 << 64 if int(value) >> 63 else 0)
            elif number == 5 and isinstance(value, bytes):  # Event.summary
                for inner, _, part in _fields(value):
                    if inner == 1 and isinstance(part, bytes):  # Summary.value
                        values.update(_scalar(part))
    except (ValueError, IndexError, struct.error):
        return None
    return Scalars(step, values) if values else None


def _scalar(data: bytes) -> dict[str, float]:
    """Return the tag and the number of a Summary.Value; nothing for a picture, a histogram and the like."""
    tag, found = "", None
    for number, kind, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8", "replace")
        elif number == 2 and kind == _FOUR and isinstance(value, bytes):  # simple_value
            found = float(struct.unpack("<f", value)[0])
        elif number == 8 and isinstance(value, bytes):  # tensor
            found = _number_of_tensor(value)
    return {} if found is None or not tag else {tag: found}


def _number_of_tensor(data: bytes) -> float | None:
    """Return the number of a tensor of one float or double; None for another."""
    kind, numbers = 0, b""
    for number, wire, value in _fields(data):
        if number == 1 and wire == _VARINT:  # dtype
            kind = int(value)
        elif number in (4, 5, 6) and isinstance(value, bytes):  # tensor_content, float_val, double_val
            numbers = value
    form = {_FLOAT: "<f", _DOUBLE: "<d"}.get(kind)
    if form is None or len(numbers) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, numbers)[0])


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield number, wire type and value of each field of a message.

    Raises:
        ValueError, IndexError: it is no message, or ends too early.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            whole, at = _varint(data, at)
            yield number, kind, whole
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
        else:
            raise ValueError(f"no wire type: {kind}")
        if at + size > len(data):
            raise ValueError("the message ends too early")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no number is that long")
