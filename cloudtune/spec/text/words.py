"""Describe mistakes in a job in plain words instead of pydantic's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from cloudtune.errors import nearest
from cloudtune.spec.native import own_keys
from cloudtune.spec.stopping import STOPPING_KINDS
from cloudtune.spec.strategies import STRATEGY_KINDS
from cloudtune.spec.text.mistakes import Location, Mistake


class Words(NamedTuple):
    """The words for a mistake.

    Attributes:
        message: what is wrong.
        hint: what to do; may be empty.
        below: further steps to the place of the mistake, where pydantic stops above it.
    """

    message: str
    hint: str = ""
    below: tuple[str, ...] = ()


def word(mistake: Mistake) -> Words:
    """Return the words for a mistake, without the value of any environment variable."""
    error, value = mistake.error, mistake.error["input"]
    if mistake.location[:2] == ("trial", "environment"):
        return _environment(mistake.location)
    if mistake.branches:
        kinds = dict.fromkeys(_BRANCHES[branch] for branch in mistake.branches)
        return Words(f"must be {_either(kinds)}, not {describe(value)}")
    if error["type"] in _SPELLED:
        return _SPELLED[error["type"]](mistake)
    if error["type"] in _KINDS:
        return Words(f"must be {_KINDS[error['type']]}, not {describe(value)}", _quote_hint(error))
    return Words(_lower(error["msg"]))


def _environment(location: Location) -> Words:
    # Whatever is wrong, values of environment variables are not told.
    if len(location) == 2:
        return Words("must be a mapping from names to values", "write NAME: value on a line for each")
    if location[-1] == "[key]":
        return Words("the name of a variable must be a text that is not empty, without = and NUL characters")
    return Words("must be a text or a number, without NUL characters", "write other values in quotes")


_BRANCHES = {
    "constrained-str": "a text",
    "dict": "a mapping from providers to texts",
    "tuple": "a list of texts",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "number": "a number",
    "str": "a text",
}
"""What the members of the spec's plain unions are called."""


_KINDS = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "a mapping (key: value)"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number that a float can hold"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("string_type", "string_unicode"), "a text"),
    "finite_number": "a finite number",
    "invalid_key": "a text",
    "invalid-json-value": "plain data, such as JSON has",
}
"""What a value should have been, by the type of pydantic's error."""


def _quote_hint(error: ErrorDetails) -> str:
    is_scalar = isinstance(error["input"], int | float)
    return "put it in quotes" if error["type"] in ("string_type", "invalid_key") and is_scalar else ""


def _missing(mistake: Mistake) -> Words:
    return Words(f"{mistake.location[-1]!r} is missing")


def _value_error(mistake: Mistake) -> Words:
    return Words(str(mistake.error["ctx"]["error"]))


def _job(mistake: Mistake) -> Words:
    return Words(mistake.error["msg"])


def _unknown_key(mistake: Mistake) -> Words:
    key = str(mistake.location[-1])
    allowed = list(_model_at(mistake.model, mistake.location[:-1], mistake.tag).model_fields)
    allowed += sorted({*own_keys(mistake.model).values()}) if len(mistake.location) == 1 else ()
    if (ours := _ELSEWHERE.get(key)) in allowed and mistake.location[0] == "space":
        return Words(f"unknown key {key!r}", f"it is called {ours!r} here")
    return Words(
        f"unknown key {key!r}",
        (len(mistake.location) == 1 and _belongs(key, mistake.model)) or _nearest(key, allowed, "the keys here are"),
    )


_ELSEWHERE = {
    **dict.fromkeys(("min", "minimum", "min_value", "lower_bound"), "low"),
    **dict.fromkeys(("max", "maximum", "max_value", "upper_bound"), "high"),
    **dict.fromkeys(("choices", "options", "categories"), "values"),
    **dict.fromkeys(("q", "quantum"), "step"),
}
"""What other tools call the keys of a parameter, by their words."""


def _belongs(key: str, job: type[BaseModel]) -> str:
    """Return the hint for a top-level key that belongs to another part; "" for none."""
    for name, info in job.model_fields.items():
        if any(key in part.model_fields for part in models_in(info.annotation)) and name != "space":
            return f"it belongs under {name!r}"
    return ""


def _literal(mistake: Mistake) -> Words:
    choices = _choices(mistake.error["ctx"]["expected"])
    message = f"must be {_either(map(repr, choices))}, not {describe(mistake.error['input'])}"
    value = mistake.error["input"]
    near = nearest(value[:100], choices) if isinstance(value, str) else None
    return Words(message, f"did you mean {near!r}?" if near else "")


_KINDS_AT = {"strategy": STRATEGY_KINDS, "stopping": STOPPING_KINDS}
"""The parts of the spec of which installed packages may add kinds."""


def _unknown_tag(mistake: Mistake) -> Words:
    kinds = _KINDS_AT.get(str(mistake.location[0]))
    choices = [*_choices(mistake.error["ctx"]["expected_tags"]), *(kinds.installed() if kinds else ())]
    value = mistake.error["input"]["type"]
    said = repr(shorten(value)) if isinstance(value, str) else describe(value)
    hint = _nearest(str(value), choices, "the types are")
    if kinds is not None and isinstance(value, str) and not hint.startswith("did you mean"):
        hint += f"; those of other packages have to be installed (entry points {kinds.group})"
    return Words(f"{said} is no type of {kinds.noun if kinds else 'parameter'}", hint, ("type",))


def _no_tag(mistake: Mistake) -> Words:
    types = [model.model_fields["type"].default for model in _kinds_of(mistake)]
    return Words("'type' is missing", f"the types are: {', '.join(types)}", ("type",))


def _not_of_a_union(mistake: Mistake) -> Words:
    value = mistake.error["input"]
    types = [model.model_fields["type"].default for model in _kinds_of(mistake)]
    hint = f"write {{type: {value}}}" if isinstance(value, str) and value in types else ""
    if mistake.location[0] == "space" and len(mistake.location) == 2 and isinstance(value, bool | int | float | str):
        hint = f"write {{type: constant, value: {shorten(str(value))}}} for a fixed value"
    return Words(f"must be {_KINDS[mistake.error['type']]}, not {describe(value)}", hint)


def _not_a_part(mistake: Mistake) -> Words:
    value = mistake.error["input"]
    hint = ""
    if not mistake.location:
        is_name = isinstance(value, str) and value.endswith((".yaml", ".yml"))
        hint = "give a Path to read a file" if is_name else "begin with name, trial, objective and space"
    return Words(f"must be {_KINDS['model_type']}, not {describe(value)}", hint)


def _bound(mistake: Mistake) -> Words:
    ((kind, bound),) = mistake.error["ctx"].items()
    said = describe(mistake.error["input"]).removeprefix("the number ")
    return Words(f"must be {_BOUNDS[kind]} {bound}, not {said}")


_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _too_short(mistake: Mistake) -> Words:
    least = mistake.error["ctx"]["min_length"]
    if mistake.location[:1] == ("space",) and least == 2:
        return Words("a list under a name needs at least 2 variants", "write a single parameter without the list")
    return Words("is empty", f"it needs at least {least}" if least > 1 else "give at least one, or take it away")


def _empty_text(mistake: Mistake) -> Words:
    return Words("is an empty key" if mistake.location[-1] == "[key]" else "is an empty text")


def _long_text(mistake: Mistake) -> Words:
    return Words(f"is longer than {mistake.error['ctx']['max_length']} characters")


def _pattern(mistake: Mistake) -> Words:
    said = describe(mistake.error["input"]).removeprefix("the text ")
    for place, looks in _PATTERNS.items():
        if mistake.location[: len(place)] == place:
            return Words(f"{said} {looks[0]}", looks[1])
    return Words(_lower(mistake.error["msg"]))


_PATTERNS: dict[tuple[str, ...], tuple[str, str]] = {
    ("name",): (
        "cannot be the name of a job",
        "use up to 63 letters, digits, - and _, with a letter or digit at both ends",
    ),
    ("trial", "function"): ("does not name a function", "write package.module:function"),
    ("space",): (
        "cannot be the name of a parameter",
        "leave out spaces, { } and =, and do not begin with -",
    ),
}

_SPELLED: dict[str, Callable[[Mistake], Words]] = {
    "missing": _missing,
    "value_error": _value_error,
    "job": _job,
    "extra_forbidden": _unknown_key,
    "literal_error": _literal,
    "union_tag_invalid": _unknown_tag,
    "union_tag_not_found": _no_tag,
    "model_type": _not_a_part,
    "model_attributes_type": _not_of_a_union,
    **dict.fromkeys(("greater_than_equal", "greater_than", "less_than_equal", "less_than"), _bound),
    "too_short": _too_short,
    "string_too_short": _empty_text,
    "string_too_long": _long_text,
    "string_pattern_mismatch": _pattern,
}
"""The functions that describe pydantic's types of errors which need more than the kind of the value."""


def _model_at(model: type[BaseModel], location: Location, tag: str | None) -> type[BaseModel]:
    """Return the model of the part that a location leads to; `tag` selects one of a tagged union."""
    for step in location:
        info = model.model_fields.get(step) if isinstance(step, str) else None
        models = models_in(info.annotation) if info is not None else []
        if len(models) > 1:
            models = [one for one in models if one.model_fields["type"].default == tag] or _installed(step, tag)
        model = models[0] if models else model
    return model


def _installed(step: str | int, tag: str | None) -> list[type[BaseModel]]:
    kinds = _KINDS_AT.get(str(step))
    return [kinds.model(tag)] if kinds is not None and tag is not None and tag in kinds.installed() else []


def _kinds_of(mistake: Mistake) -> list[type[BaseModel]]:
    """Return the models that the union at the top of a mistake's location may be."""
    return models_in(mistake.model.model_fields[str(mistake.location[0])].annotation)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return all models in an annotation, each once."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return list(dict.fromkeys(model for part in get_args(annotation) for model in models_in(part)))


def _nearest(said: str, choices: Sequence[str], otherwise: str) -> str:
    near = nearest(said[:100], choices)
    return f"did you mean {near!r}?" if near else f"{otherwise}: {', '.join(choices)}"


def _choices(expected: str) -> list[str]:
    """Return the names in pydantic's ``'a', 'b' or 'c'``."""
    return expected.replace(" or ", ", ").replace("'", "").split(", ")


def _either(choices: Iterable[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def describe(value: object) -> str:
    """Return a description of a value for a message: ``the number 3``, ``the text 'abc'``, ``a list``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}" if isinstance(value, float) or abs(value) < 10**30 else "a very large number"
    if isinstance(value, str):
        return f"the text {shorten(value)!r}" if value else "an empty text"
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else f"a value of type {type(value).__name__}"


def shorten(text: str, width: int = 60) -> str:
    """Return a text, cut in its middle if it is longer than `width` characters."""
    return text if len(text) <= width else f"{text[: width - 20]}…{text[-18:]}"
