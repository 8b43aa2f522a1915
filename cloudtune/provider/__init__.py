"""What a provider is, and what providers share."""

from cloudtune.provider.interface import Finding as Finding
from cloudtune.provider.interface import Progress as Progress
from cloudtune.provider.interface import Provider as Provider
from cloudtune.provider.interface import Watcher as Watcher
