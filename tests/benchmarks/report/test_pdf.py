"""Printing needs a browser, and says so."""

import sys

import bench_record
import pytest

from acula_edge.errors import MissingDependencyError, UsageError
from benchmarks.report import pdf
from benchmarks.report.page import render_page
from benchmarks.report.pdf import find_browser, write_pdf


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "a page.html"
    path.write_text(render_page(bench_record.record()), encoding="utf-8")
    return path


def script(tmp_path, body):
    path = tmp_path / "browser"
    path.write_text(f"#!{sys.executable}\nimport sys, pathlib\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_browser_on_the_path_is_taken():
    assert find_browser({"google-chrome": "/bin/c", "msedge": "/bin/e"}.get) == "/bin/c"


def test_without_a_browser_one_sentence(page, tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "find_browser", lambda: None)
    with pytest.raises(MissingDependencyError, match="needs Chromium, Chrome or Edge"):
        write_pdf(page, tmp_path / "page.pdf")


def test_what_the_browser_prints_is_kept(page, tmp_path):
    body = (
        "to = next(a for a in sys.argv if a.startswith('--print-to-pdf=')).partition('=')[2]\n"
        "pathlib.Path(to).write_bytes(b'%PDF-' + sys.argv[-1].encode())"
    )
    write_pdf(page, tmp_path / "page.pdf", script(tmp_path, body))
    assert (tmp_path / "page.pdf").read_bytes() == b"%PDF-" + page.as_uri().encode()


@pytest.mark.skipif(sys.platform == "win32", reason="scripts need a shebang")
def test_a_browser_that_prints_nothing_leaves_the_old_file(page, tmp_path):
    old = tmp_path / "page.pdf"
    old.write_bytes(b"old")
    failing = script(tmp_path, "sys.exit('no display')")
    with pytest.raises(MissingDependencyError, match="made no PDF: no display"):
        write_pdf(page, old, failing)
    assert old.read_bytes() == b"old"


def test_no_page_and_no_folder_are_one_sentence_each(page, tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        write_pdf(tmp_path / "absent.html", tmp_path / "page.pdf", "browser")
    with pytest.raises(UsageError, match="there is no such folder"):
        write_pdf(page, tmp_path / "absent" / "page.pdf", "browser")


@pytest.mark.slow
@pytest.mark.skipif(find_browser() is None, reason="no Chromium, Chrome or Edge here")
def test_a_real_browser_prints_the_page(page, tmp_path):
    page.write_text(render_page(bench_record.bare()), encoding="utf-8")
    write_pdf(page, tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "page.pdf").stat().st_size > 5000
