"""A thread that only reads and notes when, so that a slow listener neither loses nor misdates."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import Final

from acula_edge.errors import AculaError
from firmware_bridge.link.transports.base import POLL_SECONDS, Transport

# Of up to 4 kB each: minutes of sound. Beyond it the transport's own flow control holds.
_MOST_CHUNKS: Final = 4096


@dataclass(frozen=True)
class Chunk:
    """Bytes and the monotonic second at which they arrived; None is the end of the link."""

    data: bytes | None
    at: float


class Reader:
    """Reads an open transport until closed, its end, or its loss."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._closing = threading.Event()
        self._queue: queue.Queue[Chunk | AculaError] = queue.Queue(_MOST_CHUNKS)
        self._thread = threading.Thread(target=self._read, name=transport.name, daemon=True)
        self._thread.start()

    def get(self, seconds: float) -> Chunk | None:
        """The next bytes, or None after `seconds` of none. Raises the transport's DeviceError."""
        try:
            item = self._queue.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(item, AculaError):
            raise item
        return item

    def close(self) -> None:
        """End the thread; the transport stays open."""
        self._closing.set()
        self._thread.join(10 * POLL_SECONDS)

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                data = self._transport.read()
            except AculaError as error:
                self._put(error)
                return
            if data != b"":
                self._put(Chunk(data, time.monotonic()))
            if data is None:
                return

    def _put(self, item: Chunk | AculaError) -> None:
        while not self._closing.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue
