"""`--input serial:...` and the other links: found by name, and said what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from acula_edge.cli import app
from acula_edge.errors import DeviceError, MissingDependencyError, UsageError
from acula_edge.sources.open import LINKS, open_source

ADDRESS = {"serial": "/dev/ttyACM0", "ble": "Stetho", "replay": "capture.bin"}


@pytest.mark.parametrize("scheme", LINKS)
def test_every_scheme_opens_its_link(scheme: str) -> None:
    pytest.importorskip("cobs")
    address = ADDRESS.get(scheme, "127.0.0.1:7000")
    assert open_source(f"{scheme}:{address}").name == f"{scheme}:{address}"
    assert open_source(f"{scheme.upper()}:{address}").name == f"{scheme}:{address}"


def test_the_schemes_are_those_that_the_link_has() -> None:
    pytest.importorskip("cobs")
    from firmware_bridge.link.open import TRANSPORTS

    assert tuple(TRANSPORTS) == LINKS


def test_a_scheme_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"'http:'; there are the links serial:, ble:, tcp:"):
        open_source("http://example.org/a.wav")


@pytest.mark.parametrize("missing", ["firmware_bridge.link.open", "firmware_bridge.link"])
def test_without_the_bridge_it_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "firmware_bridge.link.open", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r"serial: .*'acula-edge\[firmware\]'"):
        open_source("serial:/dev/ttyACM0")


def test_without_cobs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from firmware_bridge.link import framing

    framing._cobs.cache_clear()
    monkeypatch.setitem(sys.modules, "cobs.cobs", None)
    with pytest.raises(MissingDependencyError, match=r"cobs .*'acula-edge\[firmware\]'"):
        open_source("tcp:127.0.0.1:7000")


def test_a_port_that_is_not_there_ends_listen_with_its_sentence() -> None:
    pytest.importorskip("serial")
    done = CliRunner().invoke(app, ["listen", "--json", "--input", "serial:/dev/no-such-port"])
    assert isinstance(done.exception, DeviceError)
    assert "serial:/dev/no-such-port cannot be opened" in str(done.exception)


def test_files_need_nothing_of_the_bridge() -> None:
    code = (
        "import sys; from acula_edge.sources.open import open_source; open_source('a.wav');"
        "assert not any(name.startswith('firmware_bridge') for name in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
