"""A network camera: GStreamer's RTSP server with a moving picture. Run by the system's Python, which has GStreamer's bindings.

`rtsp_camera.py PORT '{"encoder": "x264enc …", "payloader": "rtph264pay …", "user": "…", "password": "…"}'`; the stream is at
/stream. Ends when its standard input does.
"""

from __future__ import annotations

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PICTURE = "videotestsrc is-live=true pattern=smpte horizontal-speed=4 ! video/x-raw,width=640,height=360,framerate=30/1"


def main() -> None:
    port, wanted = sys.argv[1], json.loads(sys.argv[2])
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {PICTURE} ! {wanted['encoder']} ! {wanted['payloader']} name=pay0 pt=96 )")
    factory.set_shared(True)
    if wanted.get("user"):
        auth = GstRtspServer.RTSPAuth()
        method = GstRtsp.RTSPAuthMethod.DIGEST if wanted.get("digest") else GstRtsp.RTSPAuthMethod.BASIC
        auth.set_supported_methods(method)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        if wanted.get("digest"):
            auth.add_digest(wanted["user"], wanted["password"], token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(wanted["user"], wanted["password"]), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/stream", factory)
    server.attach(None)
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP | GLib.IO_IN, lambda *_: loop.quit())
    print("listening", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
