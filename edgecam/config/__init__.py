"""Where settings come from, what they are, and what is wrong with them."""

from edgecam.config.loading import DEFAULT_FILE, LoadedConfig, load
from edgecam.config.report import render_effective
from edgecam.config.schema import KeyPath
from edgecam.config.sources import Origin

__all__ = ["DEFAULT_FILE", "KeyPath", "LoadedConfig", "Origin", "load", "render_effective"]
