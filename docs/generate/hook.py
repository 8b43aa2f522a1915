"""What mkdocs calls while it builds: fills the pages that are made of the code, and the entries of the navigation that name a folder.

A page with the line ``<!-- generated: NAME -->`` gets there what the function of that name in `GENERATED` returns;
a line ``<!-- output: cloudtune plan job.yaml -->`` becomes what that command prints in the example project.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent.parent))  # mkdocs loads a hook by its file alone

from generate.chromium import program
from generate.cli_page import cli_page
from generate.config_page import config_page
from generate.output import output_of
from generate.pictures import make_pictures
from generate.spec_page import spec_page

GENERATED: dict[str, Callable[[], str]] = {"cli": cli_page, "config": config_page, "spec": spec_page}

_STATE = {"fresh": False}

_OUTPUT = re.compile(r"^(?P<indent> *)<!-- output: (?P<command>cloudtune .+) -->$", re.MULTILINE)

_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]* src=["']?(?:https?:)?//[^\s>]+|<link\b[^>]* href=["']?(?:https?:)?//[^\s>]+"""
)
"""A tag by which a page fetches something from elsewhere."""

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in the place of an entry ``folder/*.md`` of the navigation."""
    config.nav = _expanded(config.nav, Path(config.docs_dir), frozenset(_named(config.nav)))
    return config


def on_startup(*, command: str, dirty: bool) -> None:  # noqa: ARG001  # mkdocs' signature
    """Note whether this is a build: while one writes, the pictures need not be made anew at each change."""
    _STATE["fresh"] = command == "build"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Put pictures of a run of now in the place of the committed ones."""
    browser = program() if _STATE["fresh"] else None
    if browser is not None:
        for picture in make_pictures(Path(config.site_dir).parent / "pictures", browser):
            address = f"pictures/{picture.name}"
            old = files.get_file_from_path(address)
            if old is not None:
                files.remove(old)
            files.append(File.generated(config, address, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # mkdocs' signature
    """Fill a page's marks."""
    shown = _OUTPUT.sub(lambda mark: indent(output_of(mark["command"]), mark["indent"]), markdown)
    return _MARK.sub(lambda mark: GENERATED[mark[1]](), shown)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Refuse a site that would fetch something from elsewhere.

    Raises:
        PluginError: a page does.
    """
    for page in Path(config.site_dir).rglob("*.html"):
        found = _FETCHED.search(page.read_text("utf-8"))
        if found is not None:
            raise PluginError(f"{page} fetches {found[0]}: the site must open without a network")


def _expanded(entries: Any, docs: Path, named: frozenset[str]) -> Any:
    """Return the navigation with the entries of folders replaced: by lists, dictionaries and texts as YAML has them.

    Args:
        entries: the navigation, or a part of it.
        docs: the folder of the pages.
        named: the pages that have entries of their own.
    """
    if isinstance(entries, dict):
        return {title: _expanded(below, docs, named) for title, below in entries.items()}
    if not isinstance(entries, list):
        return entries
    expanded: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and entry.endswith("/*.md"):
            pages = (path.relative_to(docs).as_posix() for path in sorted(docs.glob(entry)))
            expanded += [page for page in pages if page not in named]
        else:
            below = _expanded(entry, docs, named)
            expanded += [] if isinstance(below, dict) and [] in below.values() else [below]
    return expanded


def _named(entries: Any) -> Iterator[str]:
    """Yield the pages that the navigation names."""
    if isinstance(entries, str):
        yield entries
    for below in entries.values() if isinstance(entries, dict) else entries if isinstance(entries, list) else ():
        yield from _named(below)
