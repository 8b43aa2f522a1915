"""The interface of providers, and their common bases."""

from cloudtune.plugins.entry_points import providers as providers
from cloudtune.provider.interface import Finding as Finding
from cloudtune.provider.interface import Provider as Provider
from cloudtune.provider.interface import load_provider as load_provider
from cloudtune.results.progress import Progress as Progress
from cloudtune.results.progress import Watcher as Watcher
