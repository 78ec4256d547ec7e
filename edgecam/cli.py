"""The `edgecam` command: parse, dispatch, and say errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecam import __version__
from edgecam.errors import ConfigError, EdgecamError, FatalError
from edgecam.supervisor import leaf_errors

DESCRIPTION = "Stream cameras to browsers over WebRTC, unattended: captured once, encoded once, watched by many."
EPILOG = """\
to begin:
  edgecam demo                          moving video in the browser, nothing else needed
  edgecam demo --source /dev/video0     the same from a camera
  edgecam check-config my.toml          is this configuration right?
  edgecam run --config my.toml          stream, unattended
  edgecam status                        what the running daemon does

Every key of the configuration file can also be set in the environment (EDGECAM_WEB__LISTEN=:8088)
or on the command line (--set web.listen=:8088). Exit codes: 0 fine, 1 failed, 78 configuration wrong.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _dispatch(options)
    except KeyboardInterrupt:
        return 130
    except (EdgecamError, BaseExceptionGroup) as error:
        return _complain(error)


def _complain(error: BaseException) -> int:
    """One line per problem on standard error; what is not one of ours is a bug and keeps its traceback."""
    leaves = leaf_errors(error)
    known = [leaf for leaf in leaves if isinstance(leaf, EdgecamError)]
    if len(known) < len(leaves):
        raise error
    for leaf in known:
        print(f"edgecam: {leaf}", file=sys.stderr)
    return max(leaf.exit_code for leaf in known)


def _dispatch(options: argparse.Namespace) -> int:
    # Each command imports what it needs when it runs: `edgecam status` should not load a media stack.
    match options.command:
        case "run":
            from edgecam.commands.daemon import run

            return run(options.config, _overrides(options))
        case "demo":
            from edgecam.demo import demo

            return demo(options.source, options.quality, options.host, options.port, options.web_port, _overrides(options))
        case "server":
            from edgecam.commands.daemon import server

            return server(options.config, _overrides(options))
        case "check-config":
            from edgecam.commands.check import check_config

            return check_config(options.file, show=options.show, overrides=_overrides(options))
        case "probe":
            from edgecam.commands.check import probe

            return probe(as_json=options.json)
        case "status":
            from edgecam.commands.query import link, status

            if options.link:
                return link(_client_settings(options))
            return status(_client_settings(options), as_json=options.json)
        case "snapshot":
            from edgecam.commands.query import snapshot

            return snapshot(_client_settings(options), options.camera, options.output)
        case command:
            raise FatalError(f"no such command: {command}")


def _overrides(options: argparse.Namespace) -> dict[str, object]:
    pairs = {}
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {text!r} is not KEY=VALUE", remedy="write for example --set web.listen=:8088")
        pairs[key] = value
    return pairs


def _client_settings(options: argparse.Namespace):  # type: ignore[no-untyped-def]  # lazily imported Settings
    """Where the running daemon listens: from --config, the default file if there is one, or the defaults."""
    from edgecam.config import DEFAULT_FILE, load

    default = DEFAULT_FILE if DEFAULT_FILE.exists() else None
    return load(options.config, _overrides(options), default_file=default).settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgecam", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"edgecam {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {more}".strip())
        sub.add_argument(
            "--set", metavar="KEY=VALUE", action="append", default=[], help="override a key of the configuration, e.g. log.level=debug"
        )
        return sub

    def config_option(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--config", metavar="FILE", type=Path, help="configuration (default: /etc/edgecam/edgecam.toml)")

    run = command("run", "run the daemon", "This is what the systemd unit starts; stop it with SIGTERM or Ctrl-C.")
    config_option(run)

    demo = command("demo", "show moving video in the browser at once", "Signaling server, daemon and viewer page in one process.")
    demo.add_argument("--source", default="test", help="test (default), a V4L2 device such as /dev/video0, or a video file")
    demo.add_argument("--quality", choices=["low", "medium", "high", "hd"], default="high", help="default: high (1280x720, 30 fps)")
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 to watch from another machine")
    demo.add_argument("--port", type=int, default=8080, help="port of the viewer page (default 8080)")
    demo.add_argument("--web-port", type=int, default=8088, help="port of the status page (default 8088)")

    server = command("server", "run the bundled signaling server", "Cameras and viewers meet there; it carries no video.")
    config_option(server)

    check = command("check-config", "check a configuration file", "Exits 78 when it is wrong, with file, line and what would be right.")
    check.add_argument("file", nargs="?", type=Path, help="configuration (default: /etc/edgecam/edgecam.toml)")
    check.add_argument("--show", action="store_true", help="print every effective value and where it comes from, secrets masked")

    probe = command("probe", "list cameras and encoders", "Also says which encoder would be chosen, and why.")
    probe.add_argument("--json", action="store_true", help="for programs")

    status = command("status", "ask the running daemon how it is", "Exits 0 when it is ready, 1 when not.")
    config_option(status)
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the whole document of /api/v1/status")
    form.add_argument("--link", action="store_true", help="only print the status page's link, with its token")

    snapshot = command("snapshot", "save a JPEG of what a camera sees now")
    snapshot.add_argument("camera", metavar="CAMERA", help="its name in the configuration")
    snapshot.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="where to; - for standard output")
    config_option(snapshot)
    return parser
