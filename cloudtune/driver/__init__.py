"""The ask/tell loop that drives trials, its limits, and the process that it runs in."""
