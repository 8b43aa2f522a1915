"""A provider for cloudtune: trials on hosts that are reached by ssh."""
