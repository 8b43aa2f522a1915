"""The Azure Machine Learning provider."""
