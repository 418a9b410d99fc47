"""Watching: folders and buckets whose new files get a name by themselves, once each."""

from gemel.infra.lake.watching._watcher import Watcher
from gemel.infra.lake.watching._watches import Sighting, Watch, Watches

__all__ = ["Sighting", "Watch", "Watcher", "Watches"]
