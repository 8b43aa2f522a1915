"""The code blocks of the documentation, with the marks that say how each is tested.

A mark is a comment on the line before the block, and says what stands out: ``<!-- not run: wants an account -->``.

``not run: why``
    A Python block that is compiled only.
``complete``
    A Python block that runs with --complete, as it takes long.
``needs: torch, lightning``
    A Python block that runs where these modules are installed, with --complete.
``made by: cloudtune import sweep.yaml --from wandb``
    A block of what this command prints in the folder of the page's files; beside ``complete`` it is compared with --complete.
``run``
    A shell block that runs with --complete, all its commands end well. The blocks of a page run one after the other in a copy of the
    example project, docs/generate/project, with the page's files; where one says ``run: alone``, with these files alone.
``not a job: what it is``
    A YAML or TOML block of another tool, which is parsed only.
``on: aws``
    The profile of docs/generate/project that a job is planned on; local where nothing is said.
``with: {space: {lr: {type: float, low: 0, high: 1}}}``
    What the job has beside a fragment.

``title="train.py"`` behind the language names a file: it is written into the folder that the blocks of its page run in.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>[^`]*)$")
_MARK = re.compile(r"^\s*<!-- (?P<name>not run|complete|needs|made by|run|not a job|on|with)(?:: (?P<text>.+))? -->$")
_INCLUDED = re.compile(r'^--8<-- "(.+)"\n', re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Snippet:
    """A code block.

    Attributes:
        page: the file that it stands in, below the project's folder.
        line: the number of its first line of code, from 1.
        language: what follows the backticks; "" for nothing.
        text: the code, without the indentation of the block.
        title: the file that it shows; "" for none.
        marks: what its marks say, by their names.
    """

    page: str
    line: int
    language: str
    text: str
    title: str = ""
    marks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def placed(self) -> str:
        """The code on the line where it stands in its page, so that tracebacks lead there."""
        return "\n" * (self.line - 1) + self.text


def snippets_of(text: str, page: str) -> list[Snippet]:
    """Return the code blocks of a page.

    Raises:
        ValueError: a block has no end, or a mark stands before no block.
    """
    found: list[Snippet] = []
    lines = iter(enumerate(text.splitlines(), 1))
    marks: dict[str, str] = {}
    for number, line in lines:
        if mark := _MARK.match(line):
            marks[mark["name"]] = mark["text"] or ""
        elif fence := _FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.strip() == fence["ticks"]:
                    break
                body.append(inner.removeprefix(fence["indent"]))
            else:
                raise ValueError(f"{page}:{number}: the block has no end")
            title = _TITLE.search(fence["info"])
            language = fence["info"].split()[0] if fence["info"].strip() else ""
            code = _INCLUDED.sub(
                lambda found: (ROOT / found[1]).read_text("utf-8"), "".join(f"{inner}\n" for inner in body)
            )
            found.append(Snippet(page, number + 1, language, code, title[1] if title else "", marks))
            marks = {}
        elif marks and line.strip():
            raise ValueError(f"{page}:{number}: the mark before this line stands before no code block")
    return found


def all_snippets() -> list[Snippet]:
    """Return the code blocks of all pages."""
    return [each for page in PAGES for each in snippets_of(page.read_text("utf-8"), str(page.relative_to(ROOT)))]
