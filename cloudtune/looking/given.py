"""Values that a user gives for a trial as words such as ``lr=0.01``."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cloudtune.errors import ConfigError, SpecError
from cloudtune.space.completing import on_axis
from cloudtune.space.space import Values
from cloudtune.spec.text.reading import read_yaml

if TYPE_CHECKING:
    from cloudtune.space.space import Space


def given_values(words: Iterable[str], space: "Space") -> Values:
    """Return the values that words give: in YAML, or as text where the parameter has that.

    Raises:
        ConfigError: a word is of another form, or there is none.
        SpecError: a value is no YAML.
    """
    given: Values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"a value is given as NAME=VALUE, such as lr=0.01, not {word!r}")
        own = [each for each in space.dimensions if each.name == name]
        value = _value(text)
        fits = any(on_axis(each, value) is not None for each in own)
        as_text = not fits and any(on_axis(each, text) is not None for each in own)
        given[name] = text if as_text else value
    if not given:
        raise ConfigError("say what to try, such as lr=0.01")
    return given


def _value(text: str) -> "bool | int | float | str | None":
    if not text.strip():
        return None
    node, problems = read_yaml(text, "the value")
    if problems:
        raise SpecError(problems, "the value")
    return node.value  # type: ignore[no-any-return]  # another type is refused by the space
