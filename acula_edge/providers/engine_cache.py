"""Where built TensorRT engines lie, and how a damaged one is noticed.

An engine is only valid for the GPU and the TensorRT it was built with, so both are part of its
path, with the hash of the ONNX file it came from. Engines are built on the target and never ship.
A file is the SHA-256 of its content, then the content.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from acula_edge.errors import AculaError, MissingDependencyError
from acula_edge.providers import EXTRA
from acula_edge.providers.cuda import Gpu

CACHE_VARIABLE = "ACULA_TENSORRT_CACHE"
# Raise it when the same ONNX file comes to be prepared differently for TensorRT.
PREPARATION = 1
_DIGEST_BYTES = 32


class DamagedEngineError(AculaError):
    """A file of the engine cache is cut short or was changed."""


@dataclass(frozen=True)
class Target:
    """What an engine is built for: GPU name, compute capability such as '9.0', TensorRT version."""

    gpu: str
    capability: str
    tensorrt: str

    @classmethod
    def here(cls) -> Target:
        """This machine.

        Raises:
            MissingDependencyError: TensorRT is not installed.
            DeviceError: no NVIDIA GPU.
        """
        version = require_tensorrt()
        gpu = Gpu()
        return cls(gpu.name, gpu.capability, version)

    @property
    def folder(self) -> str:
        """A plain folder name."""
        text = f"{self.gpu}-sm{self.capability}-tensorrt{self.tensorrt}"
        return re.sub(r"[^A-Za-z0-9.-]+", "_", text)

    def __str__(self) -> str:
        return f"{self.gpu} (compute {self.capability}) with TensorRT {self.tensorrt}"


def require_tensorrt() -> str:
    """The version of the installed `tensorrt`.

    Raises:
        MissingDependencyError: it is not installed, or its libraries do not load.
    """
    try:
        import tensorrt  # noqa: PLC0415 - an extra that few machines have
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise MissingDependencyError(f"TensorRT is not usable here ({reason}): {EXTRA}") from None
    return tensorrt.__version__


def default_cache() -> Path:
    """The folder in `ACULA_TENSORRT_CACHE`, else the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "acula-edge" / "tensorrt"


def engine_path(cache: Path, target: Target, sha256: str, precision: str) -> Path:
    """Where the engine of the ONNX file with that hash lies, built for `target`."""
    return cache / target.folder / f"{sha256}-{precision}-{PREPARATION}.engine"


def timing_path(cache: Path, target: Target) -> Path:
    """Where the builder keeps its measurements of that target's kernels."""
    return cache / target.folder / "timing.cache"


def read_sealed(path: Path) -> bytes | None:
    """The content of a cache file, None if there is none.

    Raises:
        DamagedEngineError: the content is not what was written, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedEngineError(f"{path} cannot be read ({error.strerror})") from None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if not content or hashlib.sha256(content).digest() != digest:
        raise DamagedEngineError(f"{path} is damaged")
    return content


def write_sealed(path: Path, content: bytes) -> None:
    """Write a cache file; another process sees the old file or the whole new one.

    Raises:
        DamagedEngineError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            draft = Path(file.name)
            try:
                file.write(hashlib.sha256(content).digest() + content)
                file.close()
                draft.replace(path)
            except BaseException:
                file.close()
                draft.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise DamagedEngineError(f"{path} cannot be written ({error.strerror})") from None
