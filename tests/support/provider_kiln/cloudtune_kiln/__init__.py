"""A provider for cloudtune: Kiln, a service with a tuner of its own that was made up for tests."""
