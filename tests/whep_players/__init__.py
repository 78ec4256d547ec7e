"""WHEP players that are not ours, each a small program: GStreamer's webrtcbin and werift. Chromium is in tests/browser.

A player takes the endpoint's URL and prints a JSON object per line: `answered {status, location, etag, links}`, `trickled {status}`,
`frames {count}` about five times a second while there are more, `ended {why}` when its stack can tell that the camera hung up.
A line `leave` on its standard input has it send DELETE and print `left {status}`.
"""
