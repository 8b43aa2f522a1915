"""One run over several profiles: cloudtune's driver launches each trial where there is room for it."""
