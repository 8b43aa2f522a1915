"""Files that never travel by default: version control and caches, files that usually hold secrets, cloudtune's own."""

import re
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.bundle.tree import File, Why

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

CACHES = (
    ".git/", ".git", ".hg/", ".svn/", ".cloudtune/", "__pycache__/", "*.py[cod]", ".venv/", "venv/", ".tox/", ".nox/",
    ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".ipynb_checkpoints/", "node_modules/", ".DS_Store", "cloudtune.schema.json",
)  # fmt: skip
"""Patterns of files of no use elsewhere; ``!pattern`` under trial.ignore takes one back."""

SECRETS = (
    # environments
    ".env", ".env.*", "*.env", ".envrc", ".direnv/", ".Renviron",
    # keys
    "*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdbx", "*.ovpn", "*.agekey",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".ssh/", ".gnupg/",
    # of programs
    ".netrc", "_netrc", ".git-credentials", ".npmrc", ".yarnrc.yml", ".pypirc", ".pgpass", "pgpass.conf", ".my.cnf",
    ".mylogin.cnf", ".htpasswd", ".dockercfg", ".dockerconfigjson", ".docker/", ".cargo/credentials*",
    ".gem/credentials", ".composer/auth.json", ".config/gh/", ".config/hub", ".config/rclone/", "rclone.conf",
    ".rclone.conf", ".vault-token", ".vault_pass*", ".passwd-s3fs", ".modal.toml", ".streamlit/secrets.toml",
    ".bash_history", ".zsh_history", ".python_history", ".psql_history", ".mysql_history",
    # of clouds and services
    ".aws/", ".azure/", ".config/gcloud/", ".oci/", ".kube/", "kubeconfig", "kubeconfig.*", "*.kubeconfig",
    ".boto", ".s3cfg", ".databrickscfg", ".huggingface/", "huggingface/token", ".kaggle/", "kaggle.json", ".snowflake/",
    "*.tfstate", "*.tfstate.*", "*.tfvars", "*.tfvars.json", ".terraform/", ".terraformrc", "terraform.rc",
    # by their usual names
    "credentials", "credentials.json", "credentials.yml", "credentials.yaml", "credentials.toml", "credentials.ini",
    "application_default_credentials.json", "service-account*.json", "service_account*.json", "serviceaccount*.json",
    "*-service-account.json", "*_service_account.json", "client_secret*.json", "secrets/", ".secrets/", ".secrets",
    "secrets.json", "secrets.yml", "secrets.yaml", "secrets.toml", "secrets.ini", "token.pickle",
)  # fmt: skip
"""Patterns of files that usually hold secrets; ``!name`` under trial.ignore sends one nevertheless."""

OWN = ("cloudtune.toml",)
"""Patterns of cloudtune's own files, which may hold secrets; they never travel."""

ALWAYS_IGNORED = (*CACHES, *SECRETS, *OWN)

_WILD = re.compile(r"[*?\[]")

_SECRET_WORD = re.compile(r"(?:^|[._-])(?:secrets?|passwords?|passwd|credentials?|token|api_?keys?)(?:[._-]|$)", re.I)
_CODE = frozenset({".py", ".ipynb", ".sh", ".r", ".jl", ".js", ".ts", ".md", ".rst", ".html"})
"""Suffixes of code and prose, which mention secrets and jobs rather than hold them."""

_SNIFFED = 1 << 16
_JOB_SIZE = 1 << 20
_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|^PuTTY-User-Key-File-", re.M)
_ACCOUNT = re.compile(rb'"type"\s*:\s*"(?:service_account|authorized_user|external_account)"')
_TOKENS = re.compile(
    rb"\b(?:AKIA|ASIA)(?!\w{9}EXAMPLE)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{22}|\bhf_[A-Za-z0-9]{30}"
    rb"|\bxox[abp]-[\w-]{10}|\bsk-[A-Za-z0-9_-]{32}|\bAIza[\w-]{35}|AccountKey=[A-Za-z0-9+/]{40}|\"refresh_token\"\s*:"
    rb"|aws_secret_access_key\s*[:=]\s*\S{20}"
)
_SETTING = re.compile(
    rb"""^[ \t]*["']?[\w.-]*(?:passw(?:or)?d|secret[_-]?key|api[_-]?key|access[_-]?key|auth[_-]?token)["']?[ \t]*[:=][ \t]*["']?[^\s"'{$<]{6}""",
    re.M | re.I,
)
_CONFIGS = frozenset({".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".properties", ".txt", ""})
_JOB_KEYS = frozenset({"trial", "objective", "space"})


class Rule:
    """The rule that decides which paths of a source folder travel.

    Args:
        ignore: patterns as in a .gitignore. ``!pattern`` takes back what an earlier pattern or `CACHES` leaves out.
            Files that usually hold secrets are taken back only by an explicit name, such as ``!prod.env`` or
            ``!*.pem``, not by a list of wanted files such as ``*`` and ``!*.json``.
    """

    def __init__(self, ignore: Sequence[str]) -> None:
        self._ignored = _spec([*CACHES, *ignore])
        explicit = [line for line in ignore if line.startswith("!") and _is_explicit(line[1:])]
        self._sent = _spec(line[1:] for line in explicit)
        self._below = [line[1:].lstrip("/") for line in explicit]

    def choose(self, name: str) -> Why | bool:
        """Return whether a path below the folder travels, or the reason why not; see `cloudtune.bundle.tree.Choose`."""
        if _own().match_file(name):
            return Why.OWN
        if self._ignored.match_file(name):
            return False
        if self._is_secret(name) and not (name.endswith("/") and any(line.startswith(name) for line in self._below)):
            return Why.SECRET
        return True

    def _is_secret(self, name: str) -> bool:
        return is_named_secret(name) and not self.is_sent(name)

    def is_sent(self, name: str) -> bool:
        """Return whether the user explicitly sends a path that looks like a secret."""
        return self._sent.match_file(name)


def is_named_secret(name: str) -> bool:
    """Return whether a path matches one of `SECRETS`, ignoring case."""
    return _secret().match_file(name) or _secret().match_file(name.lower())


def _is_explicit(pattern: str) -> bool:
    return pattern in SECRETS or not _WILD.search(pattern)


def _spec(lines: Iterable[str]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec  # noqa: PLC0415  # a tenth of a run's start, for jobs that name folders alone

    return GitIgnoreSpec.from_lines(lines)


@cache
def _secret() -> "GitIgnoreSpec":
    """Return the patterns of `SECRETS` at any depth, also of those with an inner slash."""
    return _spec(f"**/{pattern}" if "/" in pattern[:-1] else pattern for pattern in SECRETS)


@cache
def _own() -> "GitIgnoreSpec":
    return _spec(OWN)


class Content(Enum):
    """The kind of a file, judged by its content and name."""

    PLAIN = auto()
    JOB = auto()
    """A job of cloudtune, which may hold plain values of environment variables."""
    KEY = auto()
    """Nothing but a secret: a private key, or the key of a service account."""
    SPEAKING = auto()
    """The content or the name looks like a secret."""


def content_of(file: File) -> Content:
    """Return the kind of a file from its first 64 kB; PLAIN if it cannot be read."""
    try:
        with file.path.open("rb") as opened:
            head = opened.read(_SNIFFED)
    except OSError:
        return Content.PLAIN
    suffix = Path(file.name).suffix.lower()
    if suffix not in _CODE and _is_job(file, head):
        return Content.JOB
    start = head.lstrip()
    if _KEY.match(start) or (start.startswith(b"{") and _ACCOUNT.search(head)):
        return Content.KEY
    looks_secret = (suffix not in _CODE and _SECRET_WORD.search(Path(file.name).name)) or (
        suffix in _CONFIGS and _SETTING.search(head)
    )
    return Content.SPEAKING if looks_secret or _KEY.search(head) or _TOKENS.search(head) else Content.PLAIN


def _is_job(file: File, head: bytes) -> bool:
    """Return whether a file is a job in YAML or JSON: its top-level keys include those of every job."""
    if file.size > _JOB_SIZE or b"\0" in head:
        return False
    text = file.path.read_text("utf-8", "replace") if file.size > len(head) else head.decode("utf-8", "replace")
    return all(key in text for key in _JOB_KEYS) and _outermost(text) >= _JOB_KEYS


def _outermost(text: str) -> set[str]:
    """Return the top-level keys of a YAML or JSON text, as far as it can be parsed, without building its objects."""
    import yaml  # noqa: PLC0415  # few files come so far

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    keys: set[str] = set()
    depth = nodes = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth == 1 and isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                if isinstance(event, yaml.ScalarEvent) and nodes % 2 == 0:
                    keys.add(event.value)
                nodes += not isinstance(event, yaml.CollectionStartEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
    except yaml.YAMLError:
        return keys | _flat_keys(text)
    return keys


def _flat_keys(text: str) -> set[str]:
    """Return the keys at the beginnings of lines, for a job with a syntax error."""
    return set(re.findall(r"^[\"']?(\w+)[\"']?\s*:", text, re.M))


SNIFFED_DATA = 200
"""Most files of an input whose content is examined; the names of all files are."""

_SMALL = 1 << 20


def suspicious_of(files: Sequence[File]) -> tuple[str, ...]:
    """Return the names of an input's files that look like secrets, by name or by content."""
    small = [file for file in files if file.size <= _SMALL][:SNIFFED_DATA]
    plain = {file.name for file in small if content_of(file) in (Content.PLAIN, Content.JOB)}
    sniffed = {file.name for file in small} - plain
    return tuple(file.name for file in files if file.name in sniffed or is_named_secret(file.name))
