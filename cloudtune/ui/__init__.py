"""The live page: the runs of this machine in a browser, while they go on."""
