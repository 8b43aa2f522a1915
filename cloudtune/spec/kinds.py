"""Parts of the spec with several kinds: cloudtune's own, and those of installed packages, through entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidatorFunctionWrapHandler

from cloudtune.plugins.entry_points import installed
from cloudtune.space.parameters import SpecModel

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from cloudtune.errors import PluginError


@dataclass(frozen=True)
class Kinds:
    """The kinds of one part of the spec, told apart by their ``type``.

    An entry point refers to the class that does the work; its attribute ``spec`` is the model of the settings.

    Args:
        noun: what messages call the part: ``strategy``, ``stopping rule``.
        group: the group of entry points.
        base: the class that the models of other packages derive from.
        own: the union of cloudtune's own models.
    """

    noun: str
    group: str
    base: type[SpecModel]
    own: Any

    @cached_property
    def own_names(self) -> tuple[str, ...]:
        """The types of cloudtune's own models."""
        return tuple(model.model_fields["type"].default for model in self.own.__args__)

    def installed(self) -> dict[str, EntryPoint]:
        """Return the entry points of other packages by type; a type of cloudtune's own cannot be replaced."""
        return {name: point for name, point in installed(self.group).items() if name not in self.own_names}

    def model(self, name: str) -> type[SpecModel]:
        """Return the model of an installed package's type.

        Raises:
            PluginError: what the entry point refers to cannot be imported, or has no such model.
        """
        from cloudtune.plugins.loading import broken, load  # noqa: PLC0415  # few jobs have others' kinds

        model = getattr(load(self.group, name, object), "spec", None)
        point = self.installed()[name]
        if not (isinstance(model, type) and issubclass(model, self.base)):
            raise broken(point, f"has no attribute spec that is a {self.base.__name__}")
        if model.model_fields["type"].default != name:
            raise broken(point, f'needs a spec with the field type: Literal["{name}"] = "{name}"')
        return model

    def models(self) -> tuple[dict[str, type[SpecModel]], list[PluginError]]:
        """Return the models of all installed packages' types that can be loaded, and what is wrong with the others."""
        from cloudtune.errors import PluginError  # noqa: PLC0415  # loads what only mistakes need

        models: dict[str, type[SpecModel]] = {}
        errors: list[PluginError] = []
        for name in self.installed():
            try:
                models[name] = self.model(name)
            except PluginError as error:
                errors.append(error)
        return models, errors

    def validate(self, value: Any, own: ValidatorFunctionWrapHandler) -> Any:
        """Validate a part by the model of its type, as a validator around the one of cloudtune's own models."""
        name = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
        if not isinstance(name, str) or name in self.own_names or name not in self.installed():
            return own(value)
        return _adapter(self.own, self.model(name)).validate_python(value)


@lru_cache(maxsize=64)
def _adapter(own: Any, model: type[SpecModel]) -> TypeAdapter[Any]:
    """Return the validator of the union of cloudtune's own models and another one; its errors have locations like the own union's."""
    union: Any = Annotated[own | model, Field(discriminator="type")]
    return TypeAdapter(union)
