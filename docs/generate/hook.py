"""What mkdocs calls while it builds: fills the pages that are made of the code, and the entries of the navigation that name a folder.

A page with the line ``<!-- generated: NAME -->`` gets there what the function of that name in `GENERATED` returns.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent.parent))  # mkdocs loads a hook by its file alone

from generate.cli_page import cli_page
from generate.spec_page import spec_page

GENERATED: dict[str, Callable[[], str]] = {"cli": cli_page, "spec": spec_page}

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in the place of an entry ``folder/*.md`` of the navigation."""
    config.nav = _expanded(config.nav, Path(config.docs_dir))
    return config


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # mkdocs' signature
    """Fill a page's marks."""
    return _MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)


def _expanded(entries: Any, docs: Path) -> Any:
    """Return the navigation with the entries of folders replaced: by lists, dictionaries and texts as YAML has them."""
    if isinstance(entries, dict):
        return {title: _expanded(below, docs) for title, below in entries.items()}
    if not isinstance(entries, list):
        return entries
    expanded: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and entry.endswith("/*.md"):
            pages = sorted(docs.glob(entry), key=lambda path: (path.name != "index.md", path.name))
            expanded += [path.relative_to(docs).as_posix() for path in pages]
        else:
            expanded.append(_expanded(entry, docs))
            if expanded[-1] in ({title: []} for title in (entry if isinstance(entry, dict) else ())):
                expanded.pop()  # a section whose folders have no page yet
    return expanded
