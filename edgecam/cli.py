"""The `edgecam` command: parse, dispatch, and say errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
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
  edgecam server                        the signaling server; edgecam invite lets people in
  edgecam status                        what the running daemon does
  edgecam privacy front on              close a camera, and let nobody watch
  edgecam discover                      the devices on this network
  edgecam doctor                        what is wrong, and what to do about it
  edgecam report                        one archive of everything that a bug report needs
  edgecam bench                         what this device can encode, and for how many viewers

Every key of the configuration file can also be set in the environment (EDGECAM_WEB__LISTEN=:8088)
or on the command line (--set web.listen=:8088). Exit codes: 0 fine, 1 failed, 78 configuration wrong; of the daemon
also 75 and 79, for systemd to start it anew or to reboot, because nothing else helps a camera.
"""

INVITE_EPILOG = """\
A token says what its holder may do, on which cameras, and until when; the server needs to remember nothing.

  edgecam invite --camera front                       a link that lets a friend watch `front` for a day
  edgecam invite --camera 'yard-*' --for 7d --name Bo several cameras, a week, and a name for the audit log
  edgecam invite --role camera --camera yard          a token for a camera, and a link that makes a phone that camera
  edgecam invite --role admin --for 1h                everything, /status and /metrics too
  edgecam invite --list                               which are out
  edgecam invite --revoke 1f3a90c2                    end one now; whoever uses it is disconnected within seconds
  edgecam invite --new-key                            sign with a new key from now on; the two before stay good

Run it as root or as the server's user, with the server's configuration. The link leads to [server] public_url. A picture
that already plays goes on when a token ends: it belongs to the camera. Programs can sign tokens themselves: a JWT
(RFC 7519) with HS256 and a key of [server] signing_keys, claims role, cameras, exp, and if you like jti and sub.
"""

# What a machine with only the signaling server does without, and the commands that do not.
MEDIA_STACK = ("aiortc", "av")
MEDIA_COMMANDS = ("run", "demo", "probe", "bench", "doctor")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = command_parser().parse_args(arguments)
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
    if options.command in MEDIA_COMMANDS and (missing := next((name for name in MEDIA_STACK if find_spec(name) is None), None)):
        raise FatalError(f"edgecam {options.command} needs the Python module {missing}, which Debian's package edgecam brings")
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
        case "invite":
            return _invite(options)
        case "check-config":
            from edgecam.commands.check import check_config

            overrides = _overrides(options)
            return check_config(
                options.file, show=options.show, overrides=overrides, plan=options.plan, json_schema=options.schema
            )
        case "probe":
            from edgecam.commands.check import probe

            return probe(as_json=options.json)
        case "bench":
            from edgecam.commands.bench import bench

            return bench(as_json=options.json)
        case "status":
            from edgecam.commands.query import link, status

            if options.link:
                return link(_client_settings(options))
            return status(_client_settings(options), as_json=options.json)
        case "discover":
            from edgecam.commands.discover import discover

            return discover(
                _client_settings(options), seconds=options.seconds, as_json=options.json, as_targets=options.prometheus
            )
        case "doctor":
            from edgecam.commands.doctor import doctor

            return doctor(_client_settings(options), as_json=options.json)
        case "report":
            from edgecam.commands.report import report

            return report(options.config, _overrides(options), options.output, doctor=options.doctor)
        case "snapshot":
            from edgecam.commands.query import snapshot

            return snapshot(_client_settings(options), options.camera, options.output)
        case "controls":
            from edgecam.commands.controls import controls

            return controls(_client_settings(options), options.camera, options.control, as_json=options.json)
        case "privacy":
            from edgecam.commands.privacy import privacy

            return privacy(_client_settings(options), options.camera, options.switch, as_json=options.json)
        case "call":
            from edgecam.commands.call import call

            return call(_client_settings(options), options.person, camera=options.camera, signaling=options.signaling)
        case command:
            raise FatalError(f"no such command: {command}")


def _invite(options: argparse.Namespace) -> int:
    from edgecam.commands import invite

    settings = _client_settings(options)
    if options.list:
        return invite.list_invites(settings)
    if options.revoke:
        return invite.revoke(settings, options.revoke)
    if options.new_key:
        return invite.new_key(settings)
    return invite.invite(
        settings,
        role=options.role,
        cameras=options.camera,
        name=options.name,
        lasts=options.lasts,
        url=options.url,
        token_only=options.token_only,
    )


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
    from edgecam.commands.running import client_settings

    return client_settings(options.config, _overrides(options))


def command_parser() -> argparse.ArgumentParser:
    """Every command and option; the manual pages and the shell's completion are made from it."""
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

    _invite_options(command("invite", "give somebody access to the bundled server", "Prints a link, or a camera's token."), config_option)

    check = command("check-config", "check a configuration file", "Exits 78 when it is wrong, with file, line and what would be right.")
    check.add_argument("file", nargs="?", type=Path, help="configuration (default: /etc/edgecam/edgecam.toml)")
    form = check.add_mutually_exclusive_group()
    form.add_argument("--show", action="store_true", help="print every effective value and where it comes from, secrets masked")
    form.add_argument("--plan", action="store_true", help="print what a reload of the running daemon would change, and how")
    form.add_argument("--schema", action="store_true", help="print the JSON Schema for editors (2020-12)")

    probe = command("probe", "list cameras and encoders", "Also says which encoder would be chosen, and why.")
    probe.add_argument("--json", action="store_true", help="for programs")

    bench = command(
        "bench",
        "measure what this device can do",
        "Encodes the generated picture in three sizes through the real capture process, and times what a packet costs to "
        "packetise, encrypt and send on loopback; from both follows how many viewers one core carries. Takes about 20 seconds "
        "of a core and needs neither camera nor configuration; stop other work first, a running daemon too.",
    )
    bench.add_argument("--json", action="store_true", help="for programs")

    status = command("status", "ask the running daemon how it is", "Exits 0 when it is ready, 1 when not.")
    config_option(status)
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the whole document of /api/v1/status")
    form.add_argument("--link", action="store_true", help="only print the status page's link, with its token")

    looking = "Those that announce themselves by mDNS (docs/fleet.md). Exits 0 when there is one, 1 when not."
    discover = command("discover", "list the edgecam devices on this network", looking)
    config_option(discover)
    discover.add_argument("--seconds", type=float, default=3.0, metavar="N", help="how long to listen (default: 3)")
    printed = discover.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="for programs")
    printed.add_argument("--prometheus", action="store_true", help="as targets for Prometheus' file_sd_configs")

    steps = "Tries camera, encoder, signaling, STUN, TURN, and a call to itself through the relay. Exits 0 or 1."
    doctor = command("doctor", "find out what keeps pictures from getting through", steps)
    config_option(doctor)
    doctor.add_argument("--json", action="store_true", help="for programs")

    inside = (
        "Configuration, status, metrics, the events of the last hours, earlier deaths, journal, versions and devices, in one archive. "
        "Secrets are masked and public addresses renamed. Works without a running daemon, too."
    )
    report = command("report", "make one archive to attach to a bug report", inside)
    config_option(report)
    report.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: edgecam-report-HOST-TIME.tar.gz here")
    report.add_argument("--doctor", action="store_true", help="run the doctor as well, up to two minutes")

    calling = "Where [signaling.NAME] is of type socketio-call. Waits until the call is over; Ctrl-C hangs up. Exits 0 if it was answered."
    call = command("call", "have a camera call a person", calling)
    call.add_argument("person", metavar="ADDRESS", help="the person's e-mail address there")
    call.add_argument("--camera", metavar="NAME", default="", help="which camera; needed when several can call")
    call.add_argument("--signaling", metavar="NAME", default="", help="which [signaling.NAME]; needed when there are several")
    config_option(call)

    tuning = "Exposure, white balance, focus and what else the driver has, by its names. Asks the running daemon."
    private = "Private: its device is closed, nobody is let in, also after a restart, until it is switched off. Asks the running daemon."
    controls = command("controls", "list a camera's controls, or set some while it streams", tuning)
    controls.add_argument("camera", metavar="CAMERA", help="its name in the configuration")
    controls.add_argument("control", metavar="NAME=VALUE", nargs="*", help="for example brightness=10; only look without any")
    controls.add_argument("--json", action="store_true", help="for programs")
    config_option(controls)
    privacy = command("privacy", "make a camera private, or let it be watched again", private)
    privacy.add_argument("camera", metavar="CAMERA", help="its name in the configuration")
    privacy.add_argument("switch", choices=["on", "off", "status"], help="on: private; status: only look")
    privacy.add_argument("--json", action="store_true", help="for programs")
    config_option(privacy)

    snapshot = command("snapshot", "save a JPEG of what a camera sees now")
    snapshot.add_argument("camera", metavar="CAMERA", help="its name in the configuration")
    snapshot.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="where to; - for standard output")
    config_option(snapshot)
    return parser


def _invite_options(sub: argparse.ArgumentParser, config_option: Callable[[argparse.ArgumentParser], None]) -> None:
    sub.epilog, sub.formatter_class = INVITE_EPILOG, argparse.RawDescriptionHelpFormatter
    which = "which camera, * and ? allowed; repeatable; all when left out"
    sub.add_argument("--camera", metavar="NAME", action="append", default=[], help=which)
    sub.add_argument("--role", choices=["viewer", "camera", "admin"], default="viewer", help="default: viewer")
    sub.add_argument("--for", dest="lasts", metavar="TIME", default="", help="90m, 24h, 30d; default: 24h, camera 365d, admin 1h")
    sub.add_argument("--name", metavar="WHO", default="", help="whom it is for: stands in the audit log")
    sub.add_argument("--url", metavar="URL", default="", help="where people reach the server (default: [server] public_url)")
    sub.add_argument("--token-only", action="store_true", help="print the token and nothing else")
    other = sub.add_mutually_exclusive_group()
    other.add_argument("--list", action="store_true", help="what was given out and has not ended")
    other.add_argument("--revoke", metavar="ID", help="end a token now")
    other.add_argument("--new-key", action="store_true", help="sign with a new key from now on")
    config_option(sub)
