"""Plan jobs in a workflow of GitHub: a comment on the pull request, the step's summary, and what they cost as an output.

All that it takes comes by environment variables, so that nothing of a pull request is ever part of a shell's command. It
needs Python's standard library and the command `cloudtune`.
"""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

MARK = "<!-- cloudtune plan: {} -->"
"""Begins the comment, so that the next run finds and replaces it; with the input `name`."""

_MOST_NOTES = 20
"""Most notes of a plan in the comment."""

_MOST_PAGES = 10
"""Most pages of 100 comments in which the comment is looked for."""


def main() -> int:
    """Plan the jobs, tell the pull request, and return the exit code: 1 where a job is refused."""
    jobs, profiles = _words("INPUT_JOB"), _words("INPUT_ON") or [""]
    plans = [(job, profile, *_planned(job, profile)) for job in jobs for profile in profiles]
    text = _comment(plans)
    _append("GITHUB_STEP_SUMMARY", text)
    most = _most(plans)
    _append("GITHUB_OUTPUT", f"most={most}\n")
    if os.environ.get("INPUT_COMMENT", "true") == "true":
        print(_tell(text))
    refused = [
        f"{job} on {profile or 'its default profile'}" for job, profile, data, said in plans if data is None or said
    ]
    for each in refused:
        print(f"::error::cloudtune refuses {_command_text(each)}; see the step's summary")
    return 1 if refused or _too_much(most) else 0


def _words(variable: str) -> list[str]:
    return [word.strip() for word in re.split(r"[,\n]", os.environ.get(variable, "")) if word.strip()]


def _planned(job: str, profile: str) -> tuple[dict[str, Any] | None, str]:
    """Return the plan of a job, None where there is none, and why it is refused; "" where it is not."""
    words = ["cloudtune", "plan", "--json", *([f"--on={profile}"] if profile else []), "--", job]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    try:
        data = json.loads(done.stdout)
    except ValueError:
        return None, done.stderr.strip() or f"exit code {done.returncode}"
    return data, done.stderr.strip() if done.returncode else ""


def _comment(plans: list[tuple[str, str, dict[str, Any] | None, str]]) -> str:
    name = re.sub(r"[^\w ./-]", "", os.environ.get("INPUT_NAME", ""))
    lines = [MARK.format(name), f"### cloudtune plan{f': {_plain(name)}' if name else ''}", ""]
    lines += ["| job | on | trials | machines | at most | expected |", "|---|---|---|---|---|---|"]
    for job, profile, data, _ in plans:
        lines.append(f"| {' | '.join([_code(job), _code(profile or 'default'), *_cells(data)])} |")
    for job, profile, data, said in plans:
        notes = (
            [] if data is None else [f"{each['path']}: {each['support']}: {each['message']}" for each in data["notes"]]
        )
        if said:
            lines += [
                "",
                f"**{_code(job)} on {_code(profile or 'default')} is refused**",
                "",
                *map(_quoted, said.splitlines()),
            ]
        if notes:
            lines += [
                "",
                f"<details><summary>{len(notes)} notes on {_plain(job)}, {_plain(profile or 'default')}</summary>",
                "",
            ]
            lines += [f"- {_plain(note)}" for note in notes[:_MOST_NOTES]]
            lines += [f"- … {len(notes) - _MOST_NOTES} more" for _ in range(len(notes) > _MOST_NOTES)]
            lines += ["", "</details>"]
    return "\n".join([*lines, ""])


def _cells(data: dict[str, Any] | None) -> list[str]:
    if data is None:
        return ["", "", "", ""]
    summary, cost = data["summary"], data["cost"] or {}
    trials = "no limit" if summary["trials"] is None else str(summary["trials"])
    if not cost:
        return [trials, _plain(summary["machine"] or summary["provider"]), "price not known", ""]
    rate = cost["rate"]
    amounts = [
        f"{Decimal(each):.2f} {_plain(rate['currency'])}" if each else "" for each in (cost["most"], cost["expected"])
    ]
    machine = f"{_plain(rate['machine'])} at {Decimal(str(rate['per_hour'])):.4f} {_plain(rate['currency'])} an hour"
    return [trials, machine, amounts[0] or "**no bound**", amounts[1]]


def _most(plans: list[tuple[str, str, dict[str, Any] | None, str]]) -> str:
    """Return the greatest cost of all jobs together; "" where one has no bound, or they are in several currencies."""
    costs = [data["cost"] for _, _, data, _ in plans if data is not None and data["cost"]]
    if any(cost["most"] is None for cost in costs) or len({cost["rate"]["currency"] for cost in costs}) > 1:
        return ""
    return str(sum((Decimal(cost["most"]) for cost in costs), Decimal(0)))


def _too_much(most: str) -> bool:
    limit = os.environ.get("INPUT_MAX_COST", "").strip()
    if not limit:
        return False
    if most and Decimal(most) <= Decimal(limit):
        return False
    print(f"::error::the jobs may cost {most or 'more than any bound says'}, and max-cost is {_command_text(limit)}")
    return True


# Markdown and workflow commands: what a pull request says is text


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no link, no mention."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", " ".join(str(text).split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")[:1000]


def _code(text: str) -> str:
    return f"<code>{_plain(text)}</code>"


def _quoted(line: str) -> str:
    return f"> {_plain(line)}  "


def _command_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


# The comment


def _tell(text: str) -> str:
    """Write or replace the comment on the pull request, and return what was done."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text("utf-8"))
    number = event.get("pull_request", {}).get("number") or event.get("number")
    if not isinstance(number, int):
        return "no pull request to comment on; the plan is in the step's summary"
    comments = f"/repos/{os.environ['GITHUB_REPOSITORY']}/issues/{number}/comments"
    try:
        found = _own_comment(comments, text.partition("\n")[0])
        if found is None:
            _ask("POST", comments, {"body": text})
            return "commented"
        _ask("PATCH", f"/repos/{os.environ['GITHUB_REPOSITORY']}/issues/comments/{found}", {"body": text})
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            return f"::warning::no comment was written ({error.code}): the token may not, as of a fork's; the job needs permissions: pull-requests: write"
        raise
    return "replaced the comment"


def _own_comment(comments: str, mark: str) -> int | None:
    for page in range(1, _MOST_PAGES + 1):
        found = _ask("GET", f"{comments}?per_page=100&page={page}")
        for comment in found:
            by_machine = comment.get("user", {}).get("type") == "Bot"  # a person may quote the mark
            if by_machine and str(comment.get("body", "")).startswith(mark):
                return int(comment["id"])
        if len(found) < 100:
            return None
    return None


def _ask(method: str, path: str, data: dict[str, str] | None = None) -> Any:
    url = f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}{path}"
    body = None if data is None else json.dumps(data).encode()
    headers = {"Authorization": f"Bearer {os.environ['INPUT_TOKEN']}", "Accept": "application/vnd.github+json"}
    request = urllib.request.Request(url, body, {**headers, "Content-Type": "application/json"}, method=method)  # noqa: S310  # GitHub's own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
