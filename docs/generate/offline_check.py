"""Whether the built site works without a server: ``python docs/generate/offline_check.py build/site`` opens it in Chromium.

A page is opened by its path, and the search, which browsers keep from starting its worker there, has to find something.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that it is a program

from generate.chromium import opened, program

_FOUND = "document.querySelector('.md-search-result__meta')?.innerText.match(/^\\d+ matching/)"


def search(browser: str, site: Path, word: str) -> str:
    """Return what the site's search says that it has found for a word, with the site opened from its folder.

    Raises:
        TimeoutError: the search found nothing.
    """
    with opened(browser) as page:
        page.show(f"{(site / 'index.html').resolve().as_uri()}?q={word}", size=(1280, 900))
        page.wait(_FOUND)
        return str(page.value("document.querySelector('.md-search-result__meta').innerText"))


if __name__ == "__main__":
    chromium = program()
    if chromium is None:
        sys.exit("no Chromium is installed")
    try:
        print(search(chromium, Path(sys.argv[1]), "checkpoint"))
    except TimeoutError:
        sys.exit("the search of the site finds nothing, opened without a server")
