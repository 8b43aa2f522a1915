"""Amazon SageMaker: one tuning job there, or a training job a trial."""
