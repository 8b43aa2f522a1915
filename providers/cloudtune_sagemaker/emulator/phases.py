"""The secondary statuses of a training job (SecondaryStatusTransition), and what the service says with them."""

from typing import Final

MESSAGES: Final = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Instances were interrupted, the training starts again when there are others",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}
"""By secondary status."""

FIRST: Final = "Starting the training job"
"""What it says with Starting before anything is done."""

LAST: Final = {"time": "MaxRuntimeExceeded", "spot": "MaxWaitTimeExceeded"}
"""The last secondary status of a job that a limit ended, by `Ended.why`; of others it is the job's status."""
