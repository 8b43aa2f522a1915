"""The Ray provider: each trial is a process of its own in a slot, a reusable actor of the cluster."""
