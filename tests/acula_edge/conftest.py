from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.virtual_stethoscope import PulseServer, missing_tools, pulse_server


@pytest.fixture
def pulse() -> Iterator[PulseServer]:
    """A private PulseAudio server; skips where its tools or PortAudio are not installed."""
    missing = missing_tools()
    if missing:
        pytest.skip(f"not installed: {missing}")
    try:
        import sounddevice  # noqa: F401
    except OSError as error:
        pytest.skip(f"PortAudio: {error}")
    with pulse_server() as server:
        yield server
