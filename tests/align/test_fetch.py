"""Fetching against a server on this machine that cuts, forgets, refuses and lies."""

import errno
import hashlib
import io
import json
import shutil
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from align.corpora import corpus_folder
from align.corpora import fetch as fetching
from align.corpora.catalogue import CATALOGUE
from align.corpora.download import CHUNK
from align.corpora.fetch import AccessError, FetchError, fetch, fetch_corpus
from align.corpora.info import CorpusInfo, Download, Listing

CONTENT = np.random.default_rng(0).bytes(700_000)
FIRST, SECOND = 18 * CHUNK, 12 * CHUNK


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site, wanted = self.server.site, self.headers.get("Range")
        site.requests.append((self.path, wanted))
        status = site.statuses.pop(0) if site.statuses else 200
        if status != 200 or self.path not in site.files:
            self.send_error(status if status != 200 else 404)
            return
        content = site.files[self.path]
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        if wanted and site.ranges and self.headers.get("If-Range") in (None, tag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if site.validators:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + site.cuts.pop(0) if site.cuts else len(content)
        self.wfile.write(content[start:end])
        self.close_connection = end < len(content)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up early is no error here."""


@pytest.fixture
def site(monkeypatch):
    """`cuts`: bytes that the next answers send before they break; `statuses`: codes of the next."""
    monkeypatch.setattr("align.corpora.download.PAUSE_SECONDS", 0)
    server = Server(("127.0.0.1", 0), Handler)
    server.site = SimpleNamespace(
        url=f"http://127.0.0.1:{server.server_port}",
        files={"/x.bin": CONTENT},
        cuts=[],
        statuses=[],
        requests=[],
        ranges=True,
        validators=True,
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.site
    server.shutdown()
    thread.join()
    server.server_close()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def corpus(*downloads, access="open", how=""):
    return CorpusInfo(
        key="tiny",
        title="Tiny",
        organ="heart",
        licence="CC0",
        home="https://tiny.example",
        size=None,
        recordings=None,
        patients=None,
        access=access,
        citation="nobody",
        split_rule="hash_split",
        downloads=downloads,
        how=how,
    )


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def ranges(site):
    return [wanted for _, wanted in site.requests]


def test_a_cut_connection_is_continued_where_it_ended(site, tmp_path):
    site.cuts = [FIRST, SECOND]
    fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin", sha256(CONTENT))), tmp_path / "c")
    assert (tmp_path / "c" / "x.bin").read_bytes() == CONTENT
    assert ranges(site) == [None, f"bytes={FIRST}-", f"bytes={FIRST + SECOND}-"]
    assert not list(tmp_path.rglob("*.part*"))


def test_what_arrived_survives_the_process_that_gave_up(site, tmp_path):
    info = corpus(Download(f"{site.url}/x.bin", "x.bin", sha256(CONTENT)))
    site.cuts = [FIRST, 0, 0, 0, 0]
    with pytest.raises(FetchError, match="what has arrived is kept"):
        fetch_corpus(info, tmp_path / "c")
    site.cuts.clear()
    site.requests.clear()
    fetch_corpus(info, tmp_path / "c")
    assert ranges(site) == [f"bytes={FIRST}-"]
    assert (tmp_path / "c" / "x.bin").read_bytes() == CONTENT


def test_a_download_that_ended_just_before_it_was_moved_is_not_repeated(site, tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "fetched.json").write_text('{"hashes": {}, "unpacked": {}}')
    (folder / "x.bin.part").write_bytes(CONTENT)
    (folder / "x.bin.part.validator").write_text(f'"{hashlib.md5(CONTENT).hexdigest()}"')
    fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin", sha256(CONTENT))), folder)
    assert ranges(site) == [f"bytes={len(CONTENT)}-"]
    assert (folder / "x.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("flaw", ["ranges", "validators"])
def test_a_server_that_cannot_continue_starts_again(site, tmp_path, flaw):
    setattr(site, flaw, False)
    site.cuts = [FIRST]
    fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c")
    assert (tmp_path / "c" / "x.bin").read_bytes() == CONTENT


def test_two_versions_of_a_file_are_never_spliced(site, tmp_path):
    info = corpus(Download(f"{site.url}/x.bin", "x.bin"))
    site.cuts = [FIRST, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        fetch_corpus(info, tmp_path / "c")
    site.cuts.clear()
    site.files["/x.bin"] = CONTENT[::-1]
    fetch_corpus(info, tmp_path / "c")
    assert (tmp_path / "c" / "x.bin").read_bytes() == CONTENT[::-1]


def test_progress_ends_at_the_total(site, tmp_path):
    seen = []
    site.cuts = [FIRST]
    info = corpus(Download(f"{site.url}/x.bin", "x.bin"))
    fetch_corpus(info, tmp_path / "c", lambda *state: seen.append(state))
    assert seen[-1] == ("x.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_a_wrong_checksum_leaves_nothing_behind(site, tmp_path):
    info = corpus(Download(f"{site.url}/x.bin", "x.bin", sha256(b"other")))
    with pytest.raises(FetchError, match="does not have the checksum its publisher states"):
        fetch_corpus(info, tmp_path / "c")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["fetched.json"]


@pytest.mark.parametrize("cuts", [[], [FIRST, 0, 0, 0, 0]], ids=["refused", "cut"])
def test_a_fetch_that_brought_nothing_hides_no_other_copy(site, tmp_path, monkeypatch, cuts):
    info = corpus(Download(f"{site.url}/x.bin", "x.bin", sha256(b"other")))
    monkeypatch.setitem(CATALOGUE, "kauh", info)
    (tmp_path / "kauh-demo").mkdir()
    (tmp_path / "kauh-demo" / "a.wav").touch()
    site.cuts = cuts
    with pytest.raises(FetchError):
        fetch("kauh", tmp_path)
    assert (tmp_path / "kauh" / "fetched.json").is_file()
    assert corpus_folder("kauh", tmp_path) == tmp_path / "kauh-demo"
    (tmp_path / "kauh" / "x.bin").write_bytes(CONTENT)
    assert corpus_folder("kauh", tmp_path) == tmp_path / "kauh"


def test_an_md5_is_checked_too(site, tmp_path):
    good = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin", good)), tmp_path / "a")
    with pytest.raises(FetchError, match="checksum"):
        bad = f"md5:{hashlib.md5(b'other').hexdigest()}"
        fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin", bad)), tmp_path / "b")


def test_an_unpublished_hash_is_recorded_once_and_binds_from_then_on(site, tmp_path):
    info, folder = corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c"
    assert fetch_corpus(info, folder).recorded == {"x.bin": sha256(CONTENT)}
    assert fetch_corpus(info, folder).recorded == {}
    (folder / "x.bin").unlink()
    site.files["/x.bin"] = b"replaced"
    with pytest.raises(FetchError, match=r"not the file it was.*fetched\.json"):
        fetch_corpus(info, folder)
    assert not (folder / "x.bin").exists()


def test_what_is_there_is_not_downloaded_again(site, tmp_path):
    site.files["/a.zip"] = zipped({"top/a.wav": b"audio"})
    info = corpus(
        Download(f"{site.url}/x.bin", "x.bin", sha256(CONTENT)),
        Download(f"{site.url}/a.zip", "a.zip", unpack=True, strip=1),
    )
    assert fetch_corpus(info, tmp_path / "c").new_files == 2
    site.requests.clear()
    assert fetch_corpus(info, tmp_path / "c").new_files == 0
    assert site.requests == []


def test_a_damaged_file_is_fetched_again(site, tmp_path):
    info = corpus(Download(f"{site.url}/x.bin", "x.bin", sha256(CONTENT)))
    fetch_corpus(info, tmp_path / "c")
    (tmp_path / "c" / "x.bin").write_bytes(b"damaged")
    assert fetch_corpus(info, tmp_path / "c").new_files == 1
    assert (tmp_path / "c" / "x.bin").read_bytes() == CONTENT


def test_files_put_there_by_hand_are_left_alone(site, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x.bin").write_bytes(b"mine")
    assert fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c").by_hand
    assert (tmp_path / "c" / "x.bin").read_bytes() == b"mine"
    assert site.requests == []


def test_an_archive_is_laid_out_for_the_adapter_and_removed(site, tmp_path):
    files = {"repo-1/old/a.wav": b"a", "repo-1/old/b/c.wav": b"c", "repo-1/paper.pdf": b"p"}
    site.files["/a.zip"] = zipped(files)
    archive = Download(
        f"{site.url}/a.zip", "a.zip", unpack=True, strip=1, layout=(("old/", "new/"),)
    )
    fetch_corpus(corpus(archive), tmp_path / "c")
    found = {p.relative_to(tmp_path / "c").as_posix() for p in (tmp_path / "c").rglob("*.*")}
    assert found == {"fetched.json", "new/a.wav", "new/b/c.wav"}


def test_archives_in_parts_are_joined(site, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("20200413/person/cough-heavy.wav")
        info.size = len(CONTENT)
        tar.addfile(info, io.BytesIO(CONTENT))
    whole = buffer.getvalue()
    parts, third = {}, len(whole) // 3
    for letter, start in zip("abc", (0, third, 2 * third), strict=True):
        end = len(whole) if letter == "c" else start + third
        parts[f"repo/20200413/x.tar.gz.a{letter}"] = whole[start:end]
    site.files["/a.zip"] = zipped(parts | {"repo/combined_data.csv": b"id\n"})
    archive = Download(
        f"{site.url}/a.zip", "a.zip", unpack=True, strip=1, split_tars="Extracted_data"
    )
    fetch_corpus(corpus(archive), tmp_path / "c")
    extracted = tmp_path / "c" / "Extracted_data" / "20200413" / "person" / "cough-heavy.wav"
    assert extracted.read_bytes() == CONTENT
    assert not list((tmp_path / "c").rglob("*.tar.gz.*"))


def test_an_archive_that_is_a_web_page_says_so(site, tmp_path):
    site.files["/a.zip"] = b"<html>please sign in</html>"
    info = corpus(Download(f"{site.url}/a.zip", "a.zip", unpack=True))
    with pytest.raises(FetchError, match="neither a ZIP nor a TAR"):
        fetch_corpus(info, tmp_path / "c")


def listed(site, names, folder="/set/"):
    lines = []
    for name in names:
        content = name.encode() * 100
        site.files[folder + name] = content
        lines.append(f"{sha256(content)}  {name}\n")
    site.files[folder + "SHA256SUMS"] = "".join(lines).encode()
    return f"{site.url}{folder}SHA256SUMS"


def test_a_checksum_list_brings_the_wanted_files_and_checks_each(site, tmp_path):
    url = listed(site, ["a/1.wav", "a/2.wav", "a/2.hea", "table.csv"])
    info = corpus(Listing(url, keep=("a/*.wav", "*.csv"), folder="set"))
    assert fetch_corpus(info, tmp_path / "c").new_files == 3
    found = {path.relative_to(tmp_path / "c").as_posix() for path in (tmp_path / "c").rglob("*.*")}
    assert found == {"fetched.json", "set/a/1.wav", "set/a/2.wav", "set/table.csv"}
    (tmp_path / "c" / "set" / "a" / "1.wav").unlink()
    assert fetch_corpus(info, tmp_path / "c").new_files == 1
    (tmp_path / "c" / "set" / "a" / "2.wav").unlink()
    site.files["/set/a/2.wav"] = b"other"
    with pytest.raises(FetchError, match="checksum"):
        fetch_corpus(info, tmp_path / "c")


def test_progress_of_a_list_counts_files(site, tmp_path):
    seen = []
    url = listed(site, [f"{i}.wav" for i in range(5)])
    fetch_corpus(corpus(Listing(url, ("*.wav",))), tmp_path / "c", lambda *now: seen.append(now))
    assert seen == [("5 files", count, 5) for count in range(1, 6)]


@pytest.mark.parametrize("name", ["../evil.wav", "/etc/evil.wav", "a/../../evil.wav"])
def test_a_checksum_list_cannot_write_outside_the_folder(site, tmp_path, name):
    site.files["/set/SHA256SUMS"] = f"{sha256(b'')}  {name}\n".encode()
    with pytest.raises(FetchError, match="unsafe name"):
        fetch_corpus(corpus(Listing(f"{site.url}/set/SHA256SUMS", ("*",))), tmp_path / "c")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("<html>welcome</html>", "line 1 is no checksum"), ("", "lists none of")],
)
def test_a_checksum_list_that_is_none_is_named(site, tmp_path, text, problem):
    site.files["/set/SHA256SUMS"] = text.encode()
    with pytest.raises(FetchError, match=problem):
        fetch_corpus(corpus(Listing(f"{site.url}/set/SHA256SUMS", ("*",))), tmp_path / "c")


def test_a_zenodo_record_gives_addresses_and_md5(site, tmp_path, monkeypatch):
    site.files["/record/a.zip"] = zipped({"public/a.wav": b"audio"})
    md5 = hashlib.md5(site.files["/record/a.zip"]).hexdigest()

    class Repository:
        def download_url(self, name):
            return f"{site.url}/record/{name}"

        def populate_registry(self, table):
            table.registry.update({"a.zip": f"md5:{md5}", "big.zip": "md5:0"})

    monkeypatch.setattr(fetching, "doi_to_repository", lambda doi, timeout: Repository())
    info = corpus(Listing("doi:10.5281/zenodo.1", ("a.zip",), unpack=True))
    fetch_corpus(info, tmp_path / "c")
    assert (tmp_path / "c" / "public" / "a.wav").read_bytes() == b"audio"
    assert [path for path, _ in site.requests] == ["/record/a.zip"]


@pytest.mark.parametrize(
    ("status", "problem"), [(403, "may need an account"), (404, "not there"), (410, "not there")]
)
def test_a_refusal_is_not_tried_again(site, tmp_path, status, problem):
    site.statuses = [status]
    with pytest.raises(FetchError, match=problem):
        fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c")
    assert len(site.requests) == 1


def test_a_busy_server_is_tried_again(site, tmp_path):
    site.statuses = [503, 429]
    fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c")
    assert len(site.requests) == 3


def test_no_network_is_one_sentence(site, tmp_path):
    with pytest.raises(FetchError, match=r"no connection.*check the network and call again"):
        fetch_corpus(corpus(Download("http://127.0.0.1:9/x.bin", "x.bin")), tmp_path / "c")


def test_too_little_room_is_told_before_the_download(site, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "align.corpora.download.shutil.disk_usage", lambda path: SimpleNamespace(free=1000)
    )
    with pytest.raises(FetchError, match="700000 bytes are needed, 1000 are free"):
        fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c")


def test_a_disk_that_fills_while_unpacking_is_told_and_can_be_continued(
    site, tmp_path, monkeypatch
):
    site.files["/a.zip"] = zipped({"a.wav": b"audio"})
    info = corpus(Download(f"{site.url}/a.zip", "a.zip", unpack=True))

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device", "a.wav")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(FetchError, match=r"a\.wav: No space left on device; make room"):
            fetch_corpus(info, tmp_path / "c")
    site.requests.clear()
    fetch_corpus(info, tmp_path / "c")
    assert site.requests == []  # the archive was whole
    assert (tmp_path / "c" / "a.wav").read_bytes() == b"audio"


def test_a_damaged_lock_says_what_to_do(site, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "fetched.json").write_text("{")
    with pytest.raises(FetchError, match=r"fetched\.json is damaged.*delete it"):
        fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c")


def test_a_corpus_on_request_names_its_page_and_its_folder(tmp_path):
    with pytest.raises(AccessError) as caught:
        fetch("mmlung", tmp_path)
    text = str(caught.value)
    assert CATALOGUE["mmlung"].home in text
    assert str(tmp_path / "mmlung") in text
    assert not (tmp_path / "mmlung").exists()


def test_an_unknown_corpus_lists_the_known(tmp_path):
    with pytest.raises(FetchError, match=r"unknown corpus 'circus'; known: .*circor"):
        fetch("circus", tmp_path)


def test_the_lock_is_readable(site, tmp_path):
    fetch_corpus(corpus(Download(f"{site.url}/x.bin", "x.bin")), tmp_path / "c")
    lock = json.loads((tmp_path / "c" / "fetched.json").read_text())
    assert lock == {"hashes": {"x.bin": sha256(CONTENT)}, "unpacked": {}}
