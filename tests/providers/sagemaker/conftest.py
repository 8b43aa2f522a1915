"""Fixtures that several files share."""

from sagemaker_containers import aws
from sagemaker_emulation import emulate, shared

__all__ = ["aws", "emulate", "shared"]
