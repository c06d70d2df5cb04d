"""Signing in at a provider in a real Chromium, across sites; publishing a file and linking an account by hand."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Page, browser, signed_in
from console_stage import bench, new_node
from oidc_provider import CLIENT, SECRET, Provider

from hanse.clock import SystemClock
from hanse.console import Settings
from hanse.node.config import CONFIG_FILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PERSON = {"preferred_username": "ada", "name": "Ada Long", "groups": ["owners"]}
SECTION = """
[console.oidc]
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "oidc.secret"
address = "{address}"
title = "House account"
create_users = true
roles = {{ owners = ["data-owner", "admin"] }}
"""
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as made:
        yield made


@pytest.fixture
def url(tmp_path: Path) -> Iterator[tuple[str, Provider]]:
    """A console at 'localhost', and a provider at 127.0.0.1: for a browser these are two sites."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder, address = new_node(tmp_path / "node"), f"http://localhost:{port}"
    provider = Provider(SystemClock(), f"{address}/sign-in/oidc/back", dict(PERSON))
    section = SECTION.format(issuer=provider.issuer, client=CLIENT, address=address)
    (folder / CONFIG_FILE).write_text((folder / CONFIG_FILE).read_text() + section)
    (folder / "oidc.secret").write_text(SECRET)
    (folder / "oidc.secret").chmod(0o600)
    try:
        with bench(folder, settings=Settings(port=port)) as made:
            made.console.start()
            yield address, provider
            made.console.stop()
    finally:
        provider.close()


@pytest.mark.parametrize("how", [{}, {"locale": "zh-CN", **PHONE}], ids=["plain", "chinese-phone"])
def test_in_through_the_provider_and_a_file_published(
    chromium: Any, url: tuple[str, Provider], how: dict[str, Any], tmp_path: Path
) -> None:
    address, _ = url
    held = chromium.new_context(**how)
    page = Page(held.new_page(), address)
    page.page.on(
        "console",
        lambda m: page.problems.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.page.on("pageerror", lambda e: page.problems.append(str(e)))
    page.go("/sign-in")
    page.check()
    page.page.click("a.button.first")
    page.page.wait_for_url(address + "/")
    page.page.wait_for_load_state("networkidle")
    assert "Ada Long" in page.page.content()
    page.go("/users")
    page.check()
    page.go("/products")
    page.check()
    file = tmp_path / "figures.csv"
    file.write_text("place,date,value\nshop-1,2026-03-01,10\n")
    page.page.fill("#publish-product", "by-hand")
    page.page.set_input_files("#publish-file", str(file))
    page.page.click("form[action='/publications'] button.first")
    page.page.wait_for_selector("div.alert.told a[href='/products/by-hand']")
    page.check()
    held.close()


def test_who_is_refused_sees_why_at_the_door(chromium: Any, url: tuple[str, Provider]) -> None:
    address, provider = url
    provider.person["groups"] = ["others"]
    held = chromium.new_context()
    page = Page(held.new_page(), address)
    page.go("/sign-in")
    page.page.click("a.button.first")
    page.page.wait_for_selector("[role=alert]")
    assert "oidc.role" in page.page.content()
    page.check()
    held.close()
    with signed_in(chromium, address, "admin") as admin:  # a password opens as before
        admin.go("/users")
        admin.check()
