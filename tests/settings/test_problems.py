"""What a person reads who made a mistake: where, what, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecam.config import load
from edgecam.errors import ConfigError


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    """The error's lines, without the file's directory."""
    file = tmp_path / "edgecam.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, environ=environ)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[camera.front]\nwidht = 640\n", "edgecam.toml:2: camera.front.widht: unknown key; did you mean 'width'?"),
        ("\n[camrea.front]\nfps = 3\n", "edgecam.toml:2: camrea: unknown section; did you mean 'camera'?"),
        ("[log]\nzzz = 1\n", "edgecam.toml:2: log.zzz: unknown key; known here: level, format"),
        ("lisen = 1\n", "edgecam.toml:1: lisen: unknown key; known here: "),
        ("web.lisen = 1\n", "edgecam.toml:1: web.lisen: unknown key; did you mean 'listen'?"),
        ('[web]\n# listen = 1\n"lisen" = 1\n', "edgecam.toml:3: web.lisen: unknown key; did you mean 'listen'?"),
        ("web = { lisen = 1 }\n", "edgecam.toml:1: web.lisen: unknown key; did you mean 'listen'?"),
        ("[[ice.server]]\nurls = []\n", "edgecam.toml:1: ice.server: unknown section; did you mean 'servers'?"),
    ],
)
def test_an_unknown_key_has_its_line_and_the_nearest_known_one(tmp_path: Path, text: str, expected: str) -> None:
    assert [line.startswith(expected) for line in problems(tmp_path, text)] == [True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[log]\nlevel = "inof"\n',
            'log.level: "inof" is not one of "debug", "info", "warning", "error"; did you mean "info"?',
        ),
        ('[web]\nlisten = "here"\n', "web.listen: 'here' is not an address to listen on; write host:port, "),
        ("[viewers]\nmax = -1\n", "viewers.max: -1 is not a whole number from 0 to 10000"),
        ('[viewers]\nmax = "many"\n', 'viewers.max: "many" is not a whole number from 0 to 10000'),
        ("[camera.a]\nwidth = 641\n", "camera.a.width: 641 is not a whole number from 64 to 4096, even"),
        ("[camera.a]\nfps = 0\n", "camera.a.fps: 0 is not a number above 0 and at most 120"),
        ('[camera.a]\nenabled = "perhaps"\n', 'camera.a.enabled: "perhaps" is not true or false'),
        ("[camera.a]\ntitle = 5\n", "camera.a.title: 5 is not text of at most 80 characters"),
        (
            '[signaling.a]\nurl = "http://x"\n',
            'signaling.a.url: "http://x" is not an address that begins with ws:// or wss://',
        ),
        (
            '[[ice.servers]]\nurls = "turn:2001:db8::1"\nusername = "u"\ncredential = "c"\n',
            'ice.servers[0].urls[0]: "turn:2001:db8::1" is not an address such as stun:stun.example:3478 or turn:',
        ),
        (
            '[[server.ice_servers]]\nurls = ["stun:h?transport=udp"]\n',
            'server.ice_servers[0].urls[0]: "stun:h?transport=udp" is not an address such as stun:stun.example:3478 or turn:',
        ),
        ('[web]\nallowed_hosts = "x"\n', 'web.allowed_hosts: "x" is not a list, each text'),
    ],
)
def test_a_wrong_value_is_shown_with_what_would_be_right(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(f"edgecam.toml:2: {expected}")


def test_all_problems_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = '[viewers]\nmax = -1\n[log]\nlevle = "info"\n[camera.front]\nfps = "x"\n[web]\nlisten = "x"\n'
    assert [line.split(": ")[0] for line in problems(tmp_path, text)] == [
        "edgecam.toml:2",
        "edgecam.toml:4",
        "edgecam.toml:6",
        "edgecam.toml:8",
    ]


def test_multi_line_values_do_not_shift_the_lines(tmp_path: Path) -> None:
    text = '[web]\nallowed_hosts = [\n  "a", # ]\n  "b",\n]\n[camera.a]\ntitle = """\nfps = 3\n"""\nfpss = 5\n'
    (line,) = problems(tmp_path, text)
    assert line.startswith("edgecam.toml:10: camera.a.fpss: ")


def test_the_second_element_of_an_array_of_tables_has_its_own_line(tmp_path: Path) -> None:
    text = '[[ice.servers]]\nurls = "stun:a"\n[[ice.servers]]\nurl = "stun:b"\n'
    (unknown,) = problems(tmp_path, text)
    assert unknown == ("edgecam.toml:4: ice.servers[1].url: unknown key; did you mean 'urls'?")


def test_a_camera_without_a_name_is_told_to_get_one(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "[camera]\nfps = 5\n")
    assert line.startswith("edgecam.toml:2: camera.fps: 'fps' belongs to one; write [camera.NAME] above it")


def test_a_section_that_is_a_plain_value_is_told_to_be_a_table(tmp_path: Path) -> None:
    assert problems(tmp_path, "web = 5\n") == ["edgecam.toml:1: web: must be a table; write [web]"]


def test_a_camera_name_in_capitals_is_refused(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "[camera.Front]\n")
    assert line.startswith("edgecam.toml:1: camera.Front: not a name; write a name of at most 32 lower-case letters")


def test_a_complaint_about_two_keys_points_at_their_table(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "\n[camera.a]\nbitrate_kbps = 100\nmin_bitrate_kbps = 200\n")
    assert line.startswith("edgecam.toml:2: camera.a: min_bitrate_kbps is above the ceiling")


def test_a_complaint_across_sections_points_at_the_key_it_names(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, '[signaling.home]\ncameras = ["yard"]\n')
    assert line == "edgecam.toml:2: signaling.home.cameras names 'yard', but the cameras are: none"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[web]\nlisten 5\n", "edgecam.toml:2: not valid TOML: Expected '=' after a key in a key/value pair"),
        ("[web]\n[web]\n", "edgecam.toml:2: not valid TOML: Cannot declare ('web',) twice"),
        ('[web]\nlisten = "', "edgecam.toml:2: not valid TOML: "),
    ],
)
def test_a_syntax_error_has_its_line(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(expected)


def test_a_wrong_variable_is_named_even_when_the_file_has_the_key_too(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "[viewers]\nmax = 5\n", EDGECAM_VIEWERS__MAX="lots")
    assert line == 'env EDGECAM_VIEWERS__MAX: viewers.max: "lots" is not a whole number from 0 to 10000'


@pytest.mark.parametrize("name", ["EDGECAM_CAMREA__FRONT__FPS", "EDGECAM_WEB__LISEN", "EDGECAM_X__Y"])
def test_an_unknown_variable_is_an_error(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, "", **{name: "5"})
    assert line.startswith(f"env {name}: ")
    assert "unknown" in line


def test_a_wrong_credential_is_named(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "wbe.token").write_text("x")
    (line,) = problems(tmp_path, "", CREDENTIALS_DIRECTORY=str(credentials))
    assert line == "credential wbe.token: wbe: unknown section; did you mean 'web'?"


@pytest.mark.parametrize(
    "text",
    [
        "[web]\ntoken = 31415926\n",
        '[web]\ntoken = ["31415926"]\n',
        "[server]\ntokn = 31415926\n",
        '[[ice.servers]]\nurls = "stun:a"\ncredential = {a = "31415926"}\n',
        '[signaling.a]\nurl = "http://me:31415926@x"\n',
        '[signaling.a]\nurl = "http://x/?token=31415926"\n',
    ],
)
def test_a_secret_is_never_shown(tmp_path: Path, text: str) -> None:
    lines = problems(tmp_path, text)
    assert lines
    assert "31415926" not in "\n".join(lines)


SECRET = "9j-a-secret-value"


@pytest.mark.parametrize(
    "text",
    [
        f'[web]\ntoken = ["{SECRET}"]',
        f'[web]\ntokn = "{SECRET}"',
        f'web = "{SECRET}"',
        f'[web]\ntoken = {SECRET}',
        f'[web]\ntoken = "{SECRET}"\ntoken = "{SECRET}"',
        f'[camera.a]\nsource = "rtsp"\nurl = "rtsp://me:{SECRET}@cam/x"',
        f'[camera.a]\nsource = "mjpeg"\nurl = "ftp://cam/x?pwd={SECRET}"',
        f'[[ice.servers]]\nurls = ["turn:me:{SECRET}@turn.example"]',
        f'[[ice.servers]]\nurls = ["turn:turn.example"]\nusername = "me"\ncredential = ["{SECRET}"]',
    ],
)
def test_no_mistake_shows_a_secret(tmp_path: Path, text: str) -> None:
    assert not [line for line in problems(tmp_path, text) if SECRET in line]


@pytest.mark.parametrize("name", ["web.tokn", "ice.servers", "camera.front.width", "no.key"])
def test_a_credential_under_a_wrong_name_is_not_shown(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / name).write_text(SECRET)
    found = problems(tmp_path, '[camera.front]\nsource = "test"\n', CREDENTIALS_DIRECTORY=str(directory))
    assert name.rpartition(".")[2] in found[0]
    assert SECRET not in found[0]
