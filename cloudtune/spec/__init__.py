"""The job as its author writes it: fields, units, strategies, and its YAML and JSON text."""
