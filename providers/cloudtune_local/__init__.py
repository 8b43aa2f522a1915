"""The local provider: every trial is a process of this machine. `cloudtune_local.provider` has the class."""
