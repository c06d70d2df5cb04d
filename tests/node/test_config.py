"""hanse.toml: one frozen value, and errors that name the key's path."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hanse.errors import Fault
from hanse.node.config import Listen, NodeConfig, config_text, load_config, parse_config

BASE = 'party = "media"\norganisation = "A media company"\n'
FOLDER = Path("/srv/media")


def parse(more: str) -> NodeConfig:
    return parse_config(BASE + more, FOLDER)


def test_defaults_stay_in_the_node_folder() -> None:
    config = parse("listen = false")
    assert config.data_folder == FOLDER / "data"
    assert config.listen is False
    assert config.lost_after_seconds == 8
    assert config.heartbeat_seconds == 2
    assert config.store.url is None


def test_everything_can_be_said() -> None:
    config = parse(
        'data = "/var/lib/media"\nheartbeat_seconds = 1\nlost_after_seconds = 5.5\n'
        'log_level = "debug"\nlisten = { host = "::", port = 1234 }\n'
        '[limits]\nmaximum_upload = "2 GiB"\nmemory = 100000000\n'
        '[store]\nurl = "postgresql+psycopg://hanse@db/hanse"\n'
    )
    assert config.data_folder == Path("/var/lib/media")
    assert config.listen == Listen(host="::", port=1234)
    assert config.limits.maximum_upload == 2 << 30
    assert config.limits.memory == 100_000_000
    assert config.store.url == "postgresql+psycopg://hanse@db/hanse"
    assert "hanse@db" not in repr(config)


def test_the_value_is_frozen() -> None:
    config = parse("listen = false")
    with pytest.raises(ValidationError):
        config.party = "other"  # type: ignore[misc]


@pytest.mark.parametrize("listen", [None, Listen(host="0.0.0.0", port=7471)])  # noqa: S104
def test_the_template_reads_back(tmp_path: Path, listen: Listen | None) -> None:
    organisation = 'A "quoted" \\ company \u00e9'
    (tmp_path / "hanse.toml").write_text(config_text("media", organisation, listen))
    config = load_config(tmp_path)
    assert config.organisation == organisation
    assert config.listen == (listen or False)
    assert config.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ("listen = false\nheartbeet_seconds = 1", "heartbeet_seconds", "'heartbeat_seconds'"),
        ('listen = { host = "a", prt = 1 }', "listen.prt", "'port'"),
        ("listen = false\n[limits]\nmemry = 1", "limits.memry", "'memory'"),
        ("listen = false\n[store]\nuri = 'x'", "store.uri", "'url'"),
        ("listen = false\nfolder = 'x'", "folder", "known here"),
        ("listen = false\n[zzz]\na = 1", "zzz", "known here"),
    ],
)
def test_an_unknown_key_is_named_with_its_path_and_a_near_name(
    text: str, path: str, hint: str
) -> None:
    with pytest.raises(Fault) as fault:
        parse(text)
    assert fault.value.code == "config.unknown-key"
    assert fault.value.where == path
    assert hint in fault.value.remedy


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "listen"),
        ("listen = true", "listen"),
        ('listen = { host = "" }', "listen.host"),
        ('listen = { host = "a", port = 70000 }', "listen.port"),
        ('listen = { host = "a", port = "1" }', "listen.port"),
        ("listen = false\nheartbeat_seconds = 0", "heartbeat_seconds"),
        ("listen = false\nheartbeat_seconds = nan", "heartbeat_seconds"),
        ('listen = false\nheartbeat_seconds = "2"', "heartbeat_seconds"),
        ("listen = false\nlost_after_seconds = inf", "lost_after_seconds"),
        ('listen = false\nlog_level = "loud"', "log_level"),
        ('listen = false\n[limits]\nmemory = "8 Gibb"', "limits.memory"),
        ("listen = false\n[limits]\nmemory = 1", "limits.memory"),
        ('listen = false\n[store]\nurl = "mysql://h/d"', "store.url"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(text: str, path: str) -> None:
    with pytest.raises(Fault) as fault:
        parse(text)
    assert fault.value.code == "config.value"
    assert fault.value.where == path


def test_a_party_must_be_a_slug() -> None:
    with pytest.raises(Fault) as fault:
        parse_config('party = "Media"\norganisation = "x"\nlisten = false', FOLDER)
    assert fault.value.where == "party"


def test_lost_after_must_allow_for_two_heartbeats() -> None:
    with pytest.raises(Fault, match="twice"):
        parse("listen = false\nheartbeat_seconds = 5\nlost_after_seconds = 8")


@pytest.mark.parametrize("data", ["../elsewhere", "a/../../b"])
def test_a_relative_path_cannot_leave_the_node_folder(data: str) -> None:
    with pytest.raises(Fault, match="absolute path"):
        parse(f'listen = false\ndata = "{data}"')


def test_a_secret_in_a_wrong_url_is_not_shown() -> None:
    with pytest.raises(Fault) as fault:
        parse('listen = false\n[store]\nurl = "mysql://me:secret@h/d"')
    assert "secret" not in str(fault.value)


def test_broken_toml_names_the_line() -> None:
    with pytest.raises(Fault) as fault:
        parse("listen = \n")
    assert fault.value.code == "config.syntax"
    assert "line 3" in fault.value.message


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Fault) as fault:
        load_config(tmp_path)
    assert fault.value.code == "config.missing"
    assert "hanse init" in fault.value.remedy
