"""Hyperparameter search for Hugging Face's Trainer: `hyperparameter_search` takes the place of the Trainer's method of that name."""

from cloudtune.huggingface.search import hyperparameter_search as hyperparameter_search
