"""Bluetooth Low Energy, by bleak: one GATT service, frames as a byte stream over notifications.

A notification holds up to MTU - 3 bytes and frames go on from one to the next: the link layer
delivers notifications in order and whole, or breaks the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Coroutine
from importlib import import_module
from typing import Any, Final, TypeVar

from acula_edge.errors import AculaError, DeviceError, MissingDependencyError, UsageError
from firmware_bridge.link.transports.base import POLL_SECONDS

SERVICE: Final = "a2fe0001-bc92-449f-b8d7-19ded4d0ad38"
NOTIFY: Final = "a2fe0002-bc92-449f-b8d7-19ded4d0ad38"
WRITE: Final = "a2fe0003-bc92-449f-b8d7-19ded4d0ad38"
_SCAN_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 5.0
_Answer = TypeVar("_Answer")


class Ble:
    """`NAME`, the advertised name or the address of a device, upper or lower case.

    An asyncio loop of its own runs in a thread from `open` to `close`.
    """

    datagrams = False
    live = True
    reopens = True

    def __init__(self, text: str) -> None:
        if not text:
            raise UsageError("'ble:' should be ble:NAME, a device's name or address.")
        self._wanted = text
        self.name = f"ble:{text}"
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def open(self) -> None:
        """Find the device, connect and subscribe."""
        bleak = _load()
        self._heard = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_run_loop, args=(self._loop,), name="ble", daemon=True).start()
        try:
            self._run(self._connect(bleak), _SCAN_SECONDS + _CONNECT_SECONDS)
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes | None:
        """The next notification."""
        try:
            data = self._heard.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return b""
        if data is None:
            raise DeviceError(f"{self.name} went out of range or was switched off.")
        return data

    def write(self, data: bytes) -> None:
        """Write to the device's write characteristic."""
        self._run(self._client.write_gatt_char(WRITE, data, response=True), _CLOSE_SECONDS)

    def close(self) -> None:
        """Disconnect and end the thread."""
        client, self._client = self._client, None
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if client is not None:
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(client.disconnect(), loop).result(_CLOSE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)

    async def _connect(self, bleak: Any) -> None:
        wanted = self._wanted.casefold()
        device = await bleak.BleakScanner.find_device_by_filter(
            lambda device, advertisement: (
                wanted
                in {
                    (advertisement.local_name or device.name or "").casefold(),
                    device.address.casefold(),
                }
            ),
            timeout=_SCAN_SECONDS,
        )
        if device is None:
            raise DeviceError(
                f"No Bluetooth device called '{self._wanted}' is in range; "
                "switch it on, and disconnect it from phones."
            )
        self._client = bleak.BleakClient(
            device, disconnected_callback=self._gone, timeout=_CONNECT_SECONDS
        )
        await self._client.connect()
        if self._client.services.get_service(SERVICE) is None:
            raise DeviceError(f"{self.name} has no AcuLa link service ({SERVICE}).")
        await self._client.start_notify(NOTIFY, self._notified)

    def _notified(self, _sender: object, data: bytearray) -> None:
        self._heard.put(bytes(data))

    def _gone(self, _client: object) -> None:
        self._heard.put(None)

    def _run(self, task: Coroutine[Any, Any, _Answer], seconds: float) -> _Answer:
        """The answer of a task in the loop; every failure becomes one sentence."""
        if self._loop is None:
            task.close()
            raise DeviceError(f"{self.name} is not connected.")
        future = asyncio.run_coroutine_threadsafe(task, self._loop)
        try:
            return future.result(seconds)
        except AculaError:
            raise
        except TimeoutError as error:
            future.cancel()
            raise DeviceError(f"{self.name} does not answer.") from error
        except Exception as error:  # each platform's Bluetooth raises its own
            raise DeviceError(f"{self.name} cannot be reached: {_reason(error)}.") from error


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _load() -> Any:
    try:
        return import_module("bleak")
    except ImportError as error:
        raise MissingDependencyError(
            "ble: needs bleak: pip install 'acula-edge[firmware]'"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "this computer has no Bluetooth service"
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
