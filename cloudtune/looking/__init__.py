"""What the command line and the live page share: refreshing of runs within seconds, and runs and trials as plain data."""
