"""Say what went wrong at Ray."""

from typing import Any

_LONGEST = 300


def in_words(ray: Any, error: Exception) -> str:
    """Return why a slot's call failed, as the rest of a sentence."""
    errors, text = ray.exceptions, str(error)
    if isinstance(error, errors.RuntimeEnvSetupError):
        return f"its runtime environment could not be made: {_last_line(text)}"
    if out_of_memory(ray, error):
        return "Ray ended it because its node ran out of memory; say what a trial takes of it: compute.memory"
    if isinstance(error, errors.RayTaskError):
        cause = getattr(error, "cause", None) or error
        return f"{type(cause).__name__}: {_last_line(str(cause))}"
    if "node has died" in text or "node was terminated" in text:
        return f"its node {_after(text, 'ip: ')}died".replace("  ", " ")
    if isinstance(error, errors.ActorUnavailableError):
        return "its node could not be reached any more"
    sentences = [line.strip() for line in text.splitlines() if line.strip().startswith("The actor")]
    return (sentences[-1] if sentences else _last_line(text))[:_LONGEST]


def out_of_memory(ray: Any, error: Exception) -> bool:
    """Return whether Ray's memory monitor ended the slot, which may happen wherever the trial runs."""
    return isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in str(error)


def cannot_start(ray: Any, error: Exception) -> bool:
    """Return whether another slot would fail in the same way."""
    return isinstance(error, ray.exceptions.RuntimeEnvSetupError | ray.exceptions.RayTaskError) or (
        "creation task" in str(error)
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LONGEST] if lines else "it does not say why"


def _after(text: str, mark: str) -> str:
    """Return the rest of the line that begins with a mark, and a space; "" where there is none."""
    return next((f"{line.strip()[len(mark) :]} " for line in text.splitlines() if line.strip().startswith(mark)), "")
