"""A downloader for pooch that continues where a connection or a process ended."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import local

import requests

from align.errors import AlignError

CHUNK = 1 << 14  # bytes; a broken connection loses what it held of the last one
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
ATTEMPTS = 4
PAUSE_SECONDS = 1.0  # before the second attempt; doubled before each further one
PARTIAL, NO_SUCH_RANGE = 206, 416
REFUSED = frozenset({401, 403})
BUSY = frozenset({408, 429})

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, its bytes so far, and its total where the server states it."""


class FetchError(AlignError):
    """A corpus cannot be fetched; the text says why and what to do."""


class _BrokenTransferError(Exception):
    """The connection ended early or the server is busy: worth another attempt."""


_threads = local()


def session() -> requests.Session:
    """This thread's HTTP session: thousands of small files share a few connections."""
    if not hasattr(_threads, "session"):
        _threads.session = requests.Session()
    return _threads.session  # type: ignore[no-any-return]


@dataclass
class ResumingDownloader:
    """Called by pooch as `downloader(url, output_file, pooch)`; one instance per file.

    Bytes are collected in `partial` and moved to `output_file` once complete, so that what pooch
    throws away after an error is never the part that is still good. A partial file is continued
    (HTTP `Range` with `If-Range`) only if the server gave it a validator (`ETag` or
    `Last-Modified`) that still holds: two versions of a file are never spliced. After `ATTEMPTS`
    connections in a row that brought no byte it gives up, and leaves the partial file.

    Raises:
        FetchError: no connection, refused, gone, or not enough disk space.
    """

    partial: Path
    progress: Progress | None = None
    _size: int = field(default=0, init=False)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:  # noqa: ARG002
        """Fetch `url` into `output_file`."""
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        fruitless = 0
        while True:
            before = self._size
            try:
                self._continue(url)
                break
            except (_BrokenTransferError, requests.ConnectionError, requests.Timeout) as error:
                _refuse_bad_certificate(url, error)
                fruitless = 1 if self._size > before else fruitless + 1
                if fruitless >= ATTEMPTS:
                    raise FetchError(_unreachable(url, error)) from None
                time.sleep(PAUSE_SECONDS * 2 ** (fruitless - 1))
            except requests.RequestException as error:
                raise FetchError(f"{url}: {error}") from None
        self.partial.replace(output_file)
        self._validator.unlink(missing_ok=True)

    @property
    def _validator(self) -> Path:
        return self.partial.with_name(f"{self.partial.name}.validator")

    def _continue(self, url: str) -> None:
        start, headers = self._resume_point()
        with session().get(
            url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)
        ) as response:
            if response.status_code == NO_SUCH_RANGE:
                if response.headers.get("Content-Range") == f"bytes */{start}":
                    return  # complete already: the process ended before it was moved
                self.partial.unlink(missing_ok=True)
                raise _BrokenTransferError("the partial file does not fit the server's")
            _check_status(url, response)
            expected = f"bytes {start}-"
            if response.status_code != PARTIAL:
                start = 0
            elif not response.headers.get("Content-Range", "").startswith(expected):
                self.partial.unlink(missing_ok=True)
                raise _BrokenTransferError("the server sent another range than asked")
            self._receive(response, start)

    def _resume_point(self) -> tuple[int, dict[str, str]]:
        headers = {"Accept-Encoding": "identity"}
        if not (self.partial.is_file() and self._validator.is_file()):
            return 0, headers
        start = self.partial.stat().st_size
        if start:
            headers["Range"] = f"bytes={start}-"
            headers["If-Range"] = self._validator.read_text()
        return start, headers

    def _receive(self, response: requests.Response, start: int) -> None:
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        if total is not None:
            _check_space(self.partial.parent, total - start)
        if not start:
            self.partial.write_bytes(b"")  # before the new validator could vouch for old bytes
        self._remember_validator(response)
        self._size = start
        with self.partial.open("ab") as sink:
            try:
                for chunk in response.iter_content(CHUNK):
                    sink.write(chunk)
                    self._size += len(chunk)
                    if self.progress is not None:
                        self.progress(self.partial.stem, self._size, total)
            except requests.exceptions.ChunkedEncodingError as error:
                raise _BrokenTransferError(str(error)) from None
        if total is not None and self._size < total:
            raise _BrokenTransferError(f"ended after {self._size} of {total} bytes")

    def _remember_validator(self, response: requests.Response) -> None:
        tag = response.headers.get("ETag", "")
        # a weak tag does not promise equal bytes, so RFC 9110 forbids it in If-Range
        validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
        if validator is None:
            self._validator.unlink(missing_ok=True)
        else:
            self._validator.write_text(validator)


def _check_status(url: str, response: requests.Response) -> None:
    code = response.status_code
    if code in REFUSED:
        raise FetchError(f"{url} is refused ({code}): it may need an account or a request")
    if code in BUSY or code >= 500:
        raise _BrokenTransferError(f"the server answered {code}")
    if code >= 400:
        raise FetchError(f"{url} is not there ({code}): look for its new place on the home page")


def _refuse_bad_certificate(url: str, error: Exception) -> None:
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE" in str(error):
        raise FetchError(
            f"the certificate of {url} cannot be verified: download it by hand if you trust it"
        ) from None


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed} bytes are needed, {free} are free", str(folder))


def _unreachable(url: str, error: Exception) -> str:
    reason = str(error) if isinstance(error, _BrokenTransferError) else "no connection"
    return (
        f"{url} cannot be fetched ({reason}): check the network and call again;"
        " what has arrived is kept"
    )
