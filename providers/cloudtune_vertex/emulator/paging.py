"""Lists by pages (https://google.aip.dev/158)."""

import base64
from collections.abc import Sequence
from typing import TypeVar

from cloudtune_vertex.emulator.errors import Refused

Item = TypeVar("Item")

_PAGE = 100
"""Most items of a page, and how many it has where no page_size is given."""


def page_of(items: Sequence[Item], size: int, token: str) -> tuple[list[Item], str]:
    """Return a page of a list, and the token of the next one; "" for none.

    Args:
        items: the whole list.
        size: the request's page_size; 0 for none.
        token: the request's page_token; "" for the first page.

    Raises:
        Refused: the token cannot be read.
    """
    try:
        begin = int(base64.b64decode(token or "MA==").decode())
    except ValueError:
        raise Refused("INVALID_ARGUMENT", "The page_token is not valid.") from None
    end = begin + min(size or _PAGE, _PAGE)
    more = base64.b64encode(str(end).encode()).decode() if len(items) > end else ""
    return list(items[begin:end]), more
