"""Results of trials: losses, the best trial, repeated failures, importance, tables."""
