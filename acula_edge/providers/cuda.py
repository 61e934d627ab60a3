"""The few calls of the CUDA driver that an engine needs, by ctypes: no CUDA package to install.

The driver's C interface is stable and its library comes with the driver. TensorRT uses the device's
primary context, so this does too. Reference: NVIDIA's CUDA Driver API, and
`cuda.h` for the versioned names.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import DeviceError

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
_NAME_BYTES = 256
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: not ordered with the default stream
_ORDINAL = 0  # CUDA_VISIBLE_DEVICES chooses which GPU this is

Floats = NDArray[np.float32]


class Gpu:
    """The first visible NVIDIA GPU, with one stream that all work goes to, in order.

    Raises:
        DeviceError: no driver, no GPU, or a call of the driver fails.
    """

    def __init__(self) -> None:
        self._driver = _load()
        self._call("cuInit", ctypes.c_uint(0))
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(_ORDINAL))
        self._device = device
        self._context = ctypes.c_void_p()
        self._stream = ctypes.c_void_p()
        self._allocated: list[int] = []
        self.name = self._read_name()
        major, minor = (self._attribute(key) for key in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR))
        self.capability = f"{major}.{minor}"

    @property
    def stream(self) -> int:
        """The handle of the stream, 0 before `open`."""
        return self._stream.value or 0

    def open(self) -> None:
        """Take the device's primary context and make the stream."""
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.enter()
        self._call("cuStreamCreate", ctypes.byref(self._stream), ctypes.c_uint(_NON_BLOCKING))

    def enter(self) -> None:
        """Make the context current on the calling thread."""
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> int:
        """The address of `size` bytes of device memory; `release` frees it."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self._allocated.append(address.value)
        return address.value

    def release(self) -> None:
        """Give back the memory and the stream; TensorRT may still need the context."""
        self.enter()
        while self._allocated:
            self._call("cuMemFree_v2", ctypes.c_uint64(self._allocated.pop()))
        self._call("cuStreamDestroy_v2", self._stream)

    def upload(self, address: int, array: Floats) -> None:
        """Queue a copy of `array` (contiguous, unchanged until `synchronise`) to the device."""
        source, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, size, self._stream)

    def download(self, address: int, array: Floats) -> None:
        """Queue a copy from the device into `array` (contiguous)."""
        target, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(address), size, self._stream)

    def zero(self, address: int, size: int) -> None:
        """Queue setting `size` bytes to 0."""
        value, count = ctypes.c_ubyte(0), ctypes.c_size_t(size)
        self._call("cuMemsetD8Async", ctypes.c_uint64(address), value, count, self._stream)

    def synchronise(self) -> None:
        """Wait until all queued work is done."""
        self._call("cuStreamSynchronize", self._stream)

    def _attribute(self, key: int) -> int:
        value = ctypes.c_int()
        at = ctypes.byref(value)
        self._call("cuDeviceGetAttribute", at, ctypes.c_int(key), self._device)
        return value.value

    def _read_name(self) -> str:
        text = ctypes.create_string_buffer(_NAME_BYTES)
        self._call("cuDeviceGetName", text, ctypes.c_int(_NAME_BYTES), self._device)
        return text.value.decode("utf-8", errors="replace")

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            raise DeviceError(f"the NVIDIA driver refuses {name} (CUDA error {code})")


def _load() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        raise DeviceError(
            f"TensorRT needs an NVIDIA GPU, and this machine has no driver for one ({_LIBRARY})"
        ) from None
