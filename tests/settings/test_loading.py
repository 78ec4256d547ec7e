"""Which source wins, and what each may look like."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from edgecam.config import load
from edgecam.config.sources import Origin
from edgecam.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edgecam.toml"
    path.write_text('[web]\nlisten = "127.0.0.1:1001"\n\n[camera.front]\nsource = "test"\nfps = 10\n')
    return path


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    directory = tmp_path / "credentials"
    directory.mkdir()
    return directory


def test_without_any_source_the_defaults_hold() -> None:
    loaded = load(None, environ={}, default_file=None)
    assert loaded.settings.web.listen == "127.0.0.1:8088"
    assert loaded.path is None
    assert loaded.origins == {}


def test_the_file_wins_over_the_defaults(file: Path) -> None:
    loaded = load(file, environ={})
    assert loaded.settings.web.listen == "127.0.0.1:1001"
    assert loaded.origin(("web", "listen")) == Origin("file", str(file), 2)
    assert loaded.origin(("web", "token")) is None


def test_a_credential_wins_over_the_file(file: Path, credentials: Path) -> None:
    (credentials / "web.listen").write_text("127.0.0.1:1002\n")
    loaded = load(file, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert loaded.settings.web.listen == "127.0.0.1:1002"
    assert loaded.origin(("web", "listen")) == Origin("credential", "web.listen")


@pytest.mark.parametrize("unit", ["edgecam", "edgecam-server", "edgecam@yard"])
def test_a_credential_may_be_called_after_its_unit(file: Path, credentials: Path, unit: str) -> None:
    (credentials / f"{unit}.web.listen").write_text("127.0.0.1:1002\n")
    loaded = load(file, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert loaded.settings.web.listen == "127.0.0.1:1002"
    assert loaded.origin(("web", "listen")) == Origin("credential", f"{unit}.web.listen")


def test_the_environment_wins_over_a_credential(file: Path, credentials: Path) -> None:
    (credentials / "web.listen").write_text("127.0.0.1:1002\n")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials), "EDGECAM_WEB__LISTEN": "127.0.0.1:1003"}
    loaded = load(file, environ=environ)
    assert loaded.settings.web.listen == "127.0.0.1:1003"
    assert loaded.origin(("web", "listen")) == Origin("environment", "EDGECAM_WEB__LISTEN")


def test_the_command_line_wins_over_the_environment(file: Path) -> None:
    loaded = load(file, {"web.listen": "127.0.0.1:1004"}, {"EDGECAM_WEB__LISTEN": "127.0.0.1:1003"})
    assert loaded.settings.web.listen == "127.0.0.1:1004"
    assert loaded.origin(("web", "listen")) == Origin("command line")


def test_keys_of_one_table_may_come_from_different_sources(file: Path) -> None:
    loaded = load(file, {"camera.front.quality": "low"}, {"EDGECAM_CAMERA__FRONT__BITRATE_KBPS": "200"})
    camera = loaded.settings.camera["front"]
    assert (camera.fps, camera.quality, camera.bitrate_kbps) == (10, "low", 200)


def test_the_environment_can_add_a_camera(file: Path) -> None:
    environ = {"EDGECAM_CAMERA__YARD__SOURCE": "test", "EDGECAM_CAMERA__YARD__ENABLED": "false"}
    loaded = load(file, environ=environ)
    assert set(loaded.settings.camera) == {"front", "yard"}
    assert loaded.settings.camera["yard"].enabled is False


def test_a_title_of_digits_from_the_environment_stays_text(file: Path) -> None:
    assert load(file, environ={"EDGECAM_CAMERA__FRONT__TITLE": "007"}).settings.camera["front"].title == "007"


def test_lists_in_the_environment_are_json(file: Path) -> None:
    environ = {"EDGECAM_WEB__ALLOWED_HOSTS": '["a.example", "b.example"]'}
    assert load(file, environ=environ).settings.web.allowed_hosts == ("a.example", "b.example")


def test_lists_on_the_command_line_are_json(file: Path) -> None:
    loaded = load(file, {"ice.servers": '[{"urls": "stun:stun.example"}]'}, {})
    assert loaded.settings.ice.servers[0].urls == ("stun:stun.example",)
    assert loaded.origin(("ice", "servers", 0, "urls")) == Origin("command line")


def test_a_list_in_the_environment_that_is_not_json_names_the_variable(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"env EDGECAM_WEB__ALLOWED_HOSTS: web\.allowed_hosts: not valid JSON"):
        load(file, environ={"EDGECAM_WEB__ALLOWED_HOSTS": "a.example,b.example"})


def test_a_whole_table_in_the_environment_is_laid_over_the_file(file: Path) -> None:
    loaded = load(file, environ={"EDGECAM_CAMERA__FRONT": '{"quality": "hd"}'})
    assert (loaded.settings.camera["front"].quality, loaded.settings.camera["front"].fps) == ("hd", 10)


def test_a_top_level_key_can_come_from_the_environment(file: Path) -> None:
    assert load(file, environ={"EDGECAM_STATE_DIR": "/tmp/x"}).settings.state_dir == Path("/tmp/x")


def test_a_single_part_variable_that_is_no_key_is_not_ours(file: Path) -> None:
    load(file, environ={"EDGECAM_HOME": "/opt/edgecam"})


def test_a_credential_loses_its_last_newline_and_nothing_else(file: Path, credentials: Path) -> None:
    (credentials / "web.token").write_text(" secret with spaces \n")
    loaded = load(file, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert loaded.settings.web.token.get_secret_value() == " secret with spaces "


def test_a_turn_password_can_be_a_credential_of_its_own(tmp_path: Path, credentials: Path) -> None:
    file = tmp_path / "edgecam.toml"
    file.write_text('[[ice.servers]]\nurls = ["turn:turn.example"]\nusername = "camera"\n')
    (credentials / "ice.servers.0.credential").write_text("turn-password\n")
    loaded = load(file, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert loaded.settings.ice.servers[0].credential.get_secret_value() == "turn-password"
    assert loaded.origin(("ice", "servers", 0, "credential")) == Origin("credential", "ice.servers.0.credential")
    assert loaded.origin(("ice", "servers", 0, "username")) == Origin("file", str(file), 3)


def test_a_credential_without_a_dot_is_somebody_elses(file: Path, credentials: Path) -> None:
    (credentials / "passwd").write_text("x")
    load(file, environ={"CREDENTIALS_DIRECTORY": str(credentials)})


def test_an_index_past_the_end_is_an_error(file: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"env EDGECAM_ICE__SERVERS__3__USERNAME: ice\.servers\[3\]\.username: no such"
    ):
        load(file, environ={"EDGECAM_ICE__SERVERS__3__USERNAME": "me"})


def test_without_a_file_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="edgecam demo") as caught:
        load(None, environ={}, default_file=tmp_path / "edgecam.toml")
    assert "does not exist" in str(caught.value)
    assert caught.value.exit_code == os.EX_CONFIG


def test_a_file_that_was_asked_for_and_is_absent_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "no.toml"
    with pytest.raises(ConfigError, match=re.escape(f"{absent}: cannot be read: No such file or directory")):
        load(absent, environ={})


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, environ={})


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "edgecam.toml"
    file.write_bytes(b'[web]\nlisten = "\xff"\n')
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load(file, environ={})
