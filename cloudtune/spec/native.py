"""Where the spec has native settings: parts of one provider's own requests."""

from pydantic import JsonValue

Native = dict[str, JsonValue]
"""Members of a provider's request by their names."""

NATIVE_FIELDS = ("local", "sagemaker", "vertex", "azureml", "ray")
"""Fields of the job that hold one provider's native settings."""
