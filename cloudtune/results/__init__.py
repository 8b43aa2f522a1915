"""What trials brought: losses, the best, failures alike, importance, tables."""
