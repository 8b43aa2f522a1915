"""What README and the pages say beside their snippets, where the code says it too."""

import re
from pathlib import Path

import pytest
from snippets import PAGES, ROOT, snippets_of

from cloudtune import TuningJob
from cloudtune.errors import SpecError
from cloudtune.provider.matrix import with_table


def test_the_table_of_support_is_that_of_the_providers() -> None:
    text = (ROOT / "docs" / "reference" / "support.md").read_text("utf-8")
    assert with_table(text) == text, "run: make support"


def test_the_commands_of_the_readme_stand_where_the_ci_looks_for_them() -> None:
    blocks = [
        each.text for each in snippets_of((ROOT / "README.md").read_text("utf-8"), "README.md") if each.language == "sh"
    ]
    assert blocks[:2] == [
        'pip install -e ".[examples]"\ncloudtune run examples/digits/job.yaml --report report.html\n',
        'pip install -e ".[test]"\npytest -n 4 --dist loadgroup\n',
    ]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", prose)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_what_the_reference_of_python_describes_is_defined_where_it_says() -> None:
    names = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference" / "python.md").read_text("utf-8"), re.MULTILINE)
    assert names
    for name in names:
        place = ROOT / name.replace(".", "/")  # read as mkdocstrings does it, without an import
        module, last = (place, "") if place.is_dir() else (place.parent, place.name)
        text = (module / "__init__.py" if module.is_dir() else module.with_suffix(".py")).read_text("utf-8")
        assert re.search(rf"^ *(def|class|from \S+ import .*)\b ?{last}\b", text, re.MULTILINE), name


def test_the_readme_is_no_longer_than_a_screen_and_a_half() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 700


def test_the_mistakes_that_the_pages_show_look_as_they_show_them() -> None:
    text = (ROOT / "docs" / "how-it-works" / "reliability.md").read_text("utf-8")
    shown = next(part for part in text.split("```\n") if part.startswith("job.yaml has 2 problems"))
    yaml = """name: digits-svc
trial:
  source: .
  command: python train.py
# the objective
objective: {metric: accuracy, goal: maximise}
space:
  C: {type: float, low: 0.1, high: 1e3, scale: log}
  kernel: {type: categorical, values: [rbf, poly]}
  degree:
    {type: int, low: 2, high: 4, when: {kernel: poly}}
# how
stopping: {type: median, grace: 2}
limits: {trials: 24, parallel: 2, trial_time: 2m}

stratgy: {type: bayesian, seed: 7}
"""
    with pytest.raises(SpecError) as wrong:
        TuningJob.from_yaml(yaml)
    assert str(wrong.value).replace("the job", "job.yaml", 1) == shown.strip()


def test_the_messages_that_troubleshooting_explains_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    headings = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    code = [path.read_text("utf-8") for room in ("cloudtune", "providers") for path in (ROOT / room).rglob("*.py")]
    assert headings
    for heading in headings:
        parts = [part.strip() for part in heading.split("…") if part.strip()]
        assert any(all(part in text for part in parts) for text in code), heading
