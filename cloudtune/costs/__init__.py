"""What runs cost: charges of attempts, what may still be spent, and what a job will cost."""
