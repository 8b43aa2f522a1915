"""What travels with a job: which files of a folder, what of them stays here, and what a command starts of them."""
