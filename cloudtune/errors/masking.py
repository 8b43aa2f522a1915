"""Masking of secrets in texts that are shown, stored or logged: errors, events, reasons."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from functools import cache

MASK = "***"
"""The text that replaces a secret."""

MIN_LENGTH = 8
"""Fewest characters of a value that is masked in texts; shorter ones are ordinary words, numbers and switches."""

_NAMES = (
    r"sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential"
    r"|awsaccesskeyid|accountkey|sharedaccesskey|sharedaccesssignature|access[_-]?token|refresh[_-]?token|id[_-]?token"
    r"|auth[_-]?token|session[_-]?token|aws_secret_access_key|aws_session_token|secret[_-]?access[_-]?key|secret[_-]?key"
    r"|client[_-]?secret|private[_-]?key|api[_-]?key|password|passwd|pwd|secret|token"
)
_MAYBE = re.compile(
    r"://|[=:]|AKIA|ASIA|gh[pousr]_|github_pat_|hf_|glpat-|xox|sk-|AIza|ya29|eyJ|-----BEGIN|Bearer|Basic"
)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return what secrets look like, and what stands for each; compiled when a text may hold one."""
    return (
        # scheme://user:password@host
        (re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]{0,30}://[^\s/?#:@'\"]{0,256}:)[^\s/?#'\"]{1,1024}(?=@)", re.I), rf"\g<kept>{MASK}"),
        # name=value of an address, of a connection string, of a command
        (re.compile(rf"(?P<kept>(?<![\w.-])[\w.-]{{0,40}}?(?:{_NAMES})[\"']?=[\"']?)[^\s\"'&;,)}}>]{{4,}}", re.I), rf"\g<kept>{MASK}"),
        # "name": "value" of JSON and of Python's dictionaries
        (re.compile(rf"(?P<kept>[\"'][\w.-]{{0,40}}?(?:{_NAMES})[\"']\s*:\s*(?P<quote>[\"']))(?:\\.|(?!(?P=quote)).){{1,4096}}", re.I), rf"\g<kept>{MASK}"),
        # an Authorization header, however it is written
        (re.compile(r"(?P<kept>\b(?:Proxy-)?Authorization[\"']?\s*[:=]\s*[\"']?(?:[A-Za-z0-9-]{1,40}\s+)?)[^\s\"',][^\"'\r\n]*", re.I), rf"\g<kept>{MASK}"),
        (re.compile(r"(?P<kept>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{16,}"), rf"\g<kept>{MASK}"),
        # tokens that are known by their form
        (re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)", re.S), MASK),
        (
            re.compile(
                r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|hf_[A-Za-z0-9]{30,}|glpat-[\w-]{20,}"
                r"|xox[abprs]-[\w-]{10,}|sk-[A-Za-z0-9_-]{32,}|AIza[\w-]{35}|ya29\.[\w.-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
            ),
            MASK,
        ),
    )  # fmt: skip


_known: set[str] = set()


def remember(values: Iterable[str]) -> None:
    """Mask the given secret values, e.g. those of a job's environment variables, in every text from now on.

    Each is masked as it is and as errors quote it: without the line break at its end, and escaped as Python, JSON and
    addresses do.
    """
    _known.update(
        form
        for value in values
        if len(value) >= MIN_LENGTH and not value.isdigit()
        for form in _forms(value)
        if len(form) >= MIN_LENGTH
    )


def _forms(value: str) -> Iterator[str]:
    bare = value.strip()
    yield from (value, bare)
    if bare.isalnum():
        return  # nothing of it is ever escaped
    import json  # noqa: PLC0415  # few processes have secrets
    from urllib.parse import quote  # noqa: PLC0415

    for text in (value, bare):
        yield from (repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate is in no address
            yield from (quote(text), quote(text, safe=""))


def masked_text(text: str) -> str:
    """Return the text with passwords in addresses, signatures, keys, tokens, headers and remembered values masked."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, MASK)
    if _MAYBE.search(text) is None:
        return text
    for pattern, replacement in _patterns():
        text = pattern.sub(replacement, text)
    return text


def masked_data(value: object) -> object:
    """Return a copy of plain data (dicts, lists, scalars) with all strings masked."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, dict):
        return {key: masked_data(part) for key, part in value.items()}
    return [masked_data(part) for part in value] if isinstance(value, list | tuple) else value
