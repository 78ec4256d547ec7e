"""Where settings come from, what they are, and what is wrong with them."""

from edgecam.config.loading import DEFAULT_FILE, LoadedConfig, load
from edgecam.config.report import literal, render_effective
from edgecam.config.schema import KeyPath
from edgecam.config.sources import Origin, dotted

__all__ = ["DEFAULT_FILE", "KeyPath", "LoadedConfig", "Origin", "dotted", "literal", "load", "render_effective"]
