"""WebRTC on aiortc: the only package that imports it."""
