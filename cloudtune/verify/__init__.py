"""Compare what a real service answers with what its emulator answers for the same job."""
