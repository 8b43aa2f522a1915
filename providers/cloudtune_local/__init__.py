"""The local provider: every trial is a process of this machine; see `cloudtune_local.provider`."""
