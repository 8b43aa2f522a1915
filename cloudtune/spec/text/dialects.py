"""What YAML means to those who wrote it: 1.2 in a job's own file, 1.1 in those of most other tools."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import yaml

from cloudtune.space.parameters import Scalar
from cloudtune.spec.text.scalars import MAX_DIGITS, resolve, resolve_as


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way to read YAML.

    Attributes:
        resolve: gives the value of a plain scalar; raises ValueError for one that cannot be read.
        resolve_as: gives that of a scalar under a core tag, such as ``int``; raises ValueError where it does not fit.
        text_keys: whether keys that are no texts, such as 1 and true, are mistakes; else they are the texts that they
            are written as.
        merges: whether ``<<`` merges other mappings into one.
        documents: whether there may be several documents.
        told: what messages call the whole, e.g. ``a job``.
    """

    resolve: Callable[[str], Scalar]
    resolve_as: Callable[[str, str], Scalar]
    text_keys: bool
    merges: bool
    documents: bool
    told: str


def resolve_as_1_1(text: str) -> Scalar:
    """Return the value of a plain scalar of YAML 1.1, as PyYAML reads it, and so most tools: ``1e-3`` is a text.

    Dates stay texts, as in Kubernetes and in JSON.

    Raises:
        ValueError: a whole number has more than `MAX_DIGITS` digits, or more than a float can hold.
    """
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    tag = next((tag for tag, pattern in resolvers.get(text[:1], ()) if pattern.match(text)), "")
    kind = tag.rpartition(":")[2]
    return _constructed(kind, text) if kind in _constructors() else text


def resolve_tagged_as_1_1(kind: str, text: str) -> Scalar:
    """Return the value of a scalar of YAML 1.1 under a core tag; ``!!float 1e-3`` is a number.

    Raises:
        ValueError: it is no such value, or has more than `MAX_DIGITS` digits.
    """
    return text if kind == "str" else _constructed(kind, text)


def _constructed(kind: str, text: str) -> Scalar:
    if kind in ("int", "float") and len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits is too long")
    try:
        value = _constructors()[kind](yaml.ScalarNode(f"tag:yaml.org,2002:{kind}", text))
        if isinstance(value, int):
            float(value)  # binary and sexagesimal ones grow faster than their texts
    except (ValueError, OverflowError, LookupError):
        raise ValueError(f"is no {kind} that can be read; put text in quotes") from None
    return value


@cache
def _constructors() -> dict[str, Callable[[yaml.ScalarNode], Scalar]]:
    by = yaml.constructor.SafeConstructor()
    return {
        "null": by.construct_yaml_null,
        "bool": by.construct_yaml_bool,
        "int": by.construct_yaml_int,
        "float": by.construct_yaml_float,
    }


OWN = Dialect(resolve, resolve_as, text_keys=True, merges=False, documents=False, told="a job")
"""A job's own file: one document of YAML 1.2."""

FOREIGN = Dialect(
    resolve_as_1_1, resolve_tagged_as_1_1, text_keys=False, merges=True, documents=True, told="such a file"
)
"""Files of other tools: documents of YAML 1.1."""
