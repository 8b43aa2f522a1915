"""What a profile may say, as Markdown, made of the models of the providers' settings."""

import importlib
from typing import Any

from pydantic_core import PydanticUndefined

from cloudtune.plugins.entry_points import aliases, providers
from cloudtune.provider.settings import Settings
from cloudtune.spec.schema import field_docstrings


def config_page() -> str:
    """Return a section for each installed provider that has settings."""
    lines: list[str] = []
    for name in sorted(providers()):
        model = settings_of(name)
        if model is None:
            continue
        also = "".join(f", or `{alias}`" for alias, of in sorted(aliases().items()) if of == name)
        lines += [f'## `provider = "{name}"`{also} {{ #{name} }}', "", *_table(model), ""]
    return "\n".join(lines)


def settings_of(provider: str) -> type[Settings] | None:
    """Return the model of a provider's settings; None for a provider that has none."""
    package = providers()[provider].value.partition(".")[0]
    try:
        module = importlib.import_module(f"{package}.settings")
    except ModuleNotFoundError:
        return None
    return next(each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__)


def _table(model: type[Settings]) -> list[str]:
    texts = field_docstrings(model)
    rows = [
        f"| `{name}` | {_default(field.default)} | {_cell(texts[name])} |" for name, field in model.model_fields.items()
    ]
    return ["| setting | default | meaning |", "|---|---|---|", *rows]


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "**required**"
    return "–" if value is None or value == {} else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")
