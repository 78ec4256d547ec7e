"""The other side, for real: viewers built on aiortc and what they see."""
