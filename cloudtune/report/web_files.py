"""The scripts and styles of the report and of the live page, which a browser runs as they are."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const)\b)", re.MULTILINE)


@cache
def web_file(name: str) -> str:
    """Return the text of one file, e.g. ``chart.js``."""
    return (files("cloudtune.report") / "web" / name).read_text("utf-8")


@cache
def one_script(name: str) -> str:
    """Return a module with all that it imports as one script, each module in a scope of its own, for a page in one file.

    Args:
        name: of the module; its imports stand at its beginning, each on a line.
    """
    parts: dict[str, str] = {}
    _gather(name, parts)
    return '"use strict";\n' + "\n".join(parts.values())


def _gather(name: str, parts: dict[str, str]) -> None:
    text = web_file(name)
    for needed in _IMPORT.findall(text):
        if needed not in parts:
            _gather(needed, parts)
    taken = "".join(f"const {names} = {_variable(module)};\n" for names, module in _imports(text))
    given = ", ".join(re.findall(r"^export (?:async )?(?:function\*?|class|const) (\w+)", text, re.MULTILINE))
    body = _EXPORT.sub("", _IMPORT.sub("", text))
    parts[name] = f"const {_variable(name)} = (() => {{\n{taken}{body}return {{ {given} }};\n}})();"


def _imports(text: str) -> list[tuple[str, str]]:
    return re.findall(r'^import (\{[^}]*\}) from "\./([a-z]+\.js)";$', text, re.MULTILINE)


def _variable(module: str) -> str:
    return f"module_{module.removesuffix('.js')}"


def digest(text: str) -> str:
    """Return the source of a Content-Security-Policy that allows exactly this inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
