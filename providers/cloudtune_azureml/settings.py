"""The settings of an Azure Machine Learning profile."""

from cloudtune.provider.settings import ServiceSettings, Text


class AzureMlSettings(ServiceSettings):
    """What a profile may say besides ``provider = "azureml"``; from the environment everything comes as text."""

    subscription: Text = None
    """The id of the Azure subscription; null for that of the Azure CLI's or SDK's configuration."""
    resource_group: Text = None
    """The resource group of the workspace."""
    workspace: Text = None
    """The workspace."""
    compute: Text = None
    """The compute cluster, where the job names none; null for serverless compute."""
    environment: Text = None
    """The environment, where the job names no image: ``azureml:NAME@latest``, ``azureml:NAME:VERSION``, or an image's address."""
    instance: Text = None
    """The machine size, where the job names none and there is no compute cluster; null for one that serverless compute chooses."""
    identity: Text = None
    """What trials run as, where the job does not say: ``managed``, ``user``, ``token``, or the client id of a managed identity."""
    output: Text = None
    """Where outputs go, where the job does not say; null for the workspace's own place."""
    region: Text = None
    """The region of the workspace, by which machines and prices are looked up."""
    experiment: Text = None
    """The experiment that jobs are put into; null for the job's name."""
    price_list: Text = None
    """The address of another list of retail prices than Azure's, which ``cloudtune prices update`` asks."""
    isolated: bool = False
    """Whether the workspace's own network cuts trials off (a workspace with a managed network), so that jobs may ask for it."""
