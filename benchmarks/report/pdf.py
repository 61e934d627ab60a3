"""The page printed to PDF by a browser of the Chromium family, where the machine has one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from acula_edge.errors import MissingDependencyError, UsageError

NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "microsoft-edge-stable", "msedge"),
)
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
# No sandbox: a container has no user namespaces for one, and the page is ours and runs no script.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--no-pdf-header-footer"),
)
SECONDS = 120


def find_browser(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The first browser of the Chromium family on this machine."""
    found = [path for name in NAMES if (path := which(name))]
    return next(iter([*found, *(place for place in PLACES if Path(place).is_file())]), None)


def write_pdf(html_path: Path, pdf_path: Path, browser: str | None = None) -> None:
    """Print the page; `browser` is a program of the Chromium family, found when not given.

    Raises:
        UsageError: there is no such page, or no such folder to write to.
        MissingDependencyError: no browser was found, or it made no PDF.
    """
    program = browser or find_browser()
    if program is None:
        raise MissingDependencyError(
            "a PDF needs Chromium, Chrome or Edge: install one, or print the page from any browser"
        )
    if not html_path.is_file():
        raise UsageError(f"{html_path} cannot be printed: there is no such file")
    if not pdf_path.parent.is_dir():
        raise UsageError(f"{pdf_path} cannot be written: there is no such folder")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        part = Path(profile) / "page.pdf"
        command = [program, *FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={part}"]
        told = _run([*command, html_path.resolve().as_uri()])
        if not part.is_file() or not part.read_bytes().startswith(b"%PDF"):
            raise MissingDependencyError(f"{program} made no PDF: {told}")
        beside = pdf_path.with_name(pdf_path.name + ".part")
        shutil.copyfile(part, beside)
        beside.replace(pdf_path)


def _run(command: list[str]) -> str:
    """What the browser said last."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            # A session bus, where there is one, only makes it wait.
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
        )
    except subprocess.TimeoutExpired:
        return f"it did not finish within {SECONDS} s"
    except OSError as error:
        return f"it could not be started ({error.strerror})"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it said nothing and exited with {done.returncode}"
