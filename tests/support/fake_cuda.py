"""A CUDA driver whose device memory is host memory, filled with NaN where nothing was written."""

import ctypes

CAPABILITY = {75: 9, 76: 0}
CONTEXT, STREAM = 0x10, 0x20


class FakeDriver:
    """Answers the calls of `acula_edge.providers.cuda`; `fails` names calls that return error 2."""

    def __init__(self, name="Fake H1", fails=()):
        self._name, self._fails = name, fails
        self._memory = {}
        self.queued = 0

    @property
    def allocations(self):
        return len(self._memory)

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if name.startswith("cu") and name in self._fails:
            return lambda *arguments: 2
        return found

    def cuInit(self, flags):  # noqa: N802
        return 0

    def cuDeviceGet(self, out, ordinal):  # noqa: N802
        out._obj.value = ordinal.value
        return 0

    def cuDeviceGetName(self, text, size, device):  # noqa: N802
        text.value = self._name.encode()[: size.value]
        return 0

    def cuDeviceGetAttribute(self, out, key, device):  # noqa: N802
        out._obj.value = CAPABILITY[key.value]
        return 0

    def cuDevicePrimaryCtxRetain(self, out, device):  # noqa: N802
        out._obj.value = CONTEXT
        return 0

    def cuCtxSetCurrent(self, context):  # noqa: N802
        return 0 if context.value == CONTEXT else 201

    def cuStreamCreate(self, out, flags):  # noqa: N802
        out._obj.value = STREAM
        return 0

    def cuStreamDestroy_v2(self, stream):  # noqa: N802
        return 0

    def cuMemAlloc_v2(self, out, size):  # noqa: N802
        block = ctypes.create_string_buffer(b"\xff" * size.value, size.value)
        out._obj.value = ctypes.addressof(block)
        self._memory[out._obj.value] = block
        return 0

    def cuMemFree_v2(self, address):  # noqa: N802
        return 0 if self._memory.pop(address.value, None) is not None else 1

    def cuMemcpyHtoDAsync_v2(self, address, source, size, stream):  # noqa: N802
        return self._copy(address.value, source.value, size, stream)

    def cuMemcpyDtoHAsync_v2(self, target, address, size, stream):  # noqa: N802
        return self._copy(target.value, address.value, size, stream)

    def cuMemsetD8Async(self, address, value, count, stream):  # noqa: N802
        ctypes.memset(address.value, value.value, count.value)
        self.queued += 1
        return 0 if stream.value == STREAM else 400

    def cuStreamSynchronize(self, stream):  # noqa: N802
        self.queued = 0
        return 0 if stream.value == STREAM else 400

    def _copy(self, target, source, size, stream):
        ctypes.memmove(target, source, size.value)
        self.queued += 1
        return 0 if stream.value == STREAM else 400
