"""The text table: each report once, the teacher only when needed, and no loss to interruptions."""

import multiprocessing
import os
import time
import zlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from align.teacher import Embedded, TeacherConfig, TeacherError, embed_texts, table

CONFIG = TeacherConfig(model="fake", store="float32")
SIZE = 8


def meaning(text):
    """A vector that only this text has."""
    generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
    return torch.randn(SIZE, generator=generator)


class Fake:
    """A teacher that remembers what it was asked; `texts` is shared by all that a factory makes."""

    def __init__(self, loads=None, texts=None, window=40, stop_after=None):
        self.loads, self.texts = [] if loads is None else loads, [] if texts is None else texts
        self.window, self.stop_after = window, stop_after

    def __call__(self, config):
        self.loads.append(config)
        return self

    def embed(self, texts):
        if self.stop_after is not None and len(self.texts) >= self.stop_after:
            raise KeyboardInterrupt
        self.texts.extend(texts)
        long = tuple(row for row, text in enumerate(texts) if len(text) > self.window)
        return Embedded(torch.stack([meaning(text) for text in texts]), long)


class Never:
    def __call__(self, config):
        raise AssertionError("the teacher was loaded although nothing is missing")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(table, "SHARD_ROWS", 4)


def reports(count):
    return [f"report number {index}" for index in range(count)]


def check(result, texts):
    everything = torch.arange(len(texts))
    torch.testing.assert_close(result.gather(everything), torch.stack([meaning(t) for t in texts]))


def test_equal_reports_share_a_row_and_are_embedded_once(tmp_path):
    texts = ["a", "b", "a", "c", "b", "a"]
    fake = Fake()
    result = embed_texts(texts, CONFIG, tmp_path, teacher_factory=fake)
    assert fake.texts == ["a", "b", "c"]
    assert result.vectors.shape == (3, SIZE)
    assert result.index.tolist() == [0, 1, 0, 2, 1, 0]
    check(result, texts)


def test_a_full_cache_never_loads_the_teacher(tmp_path):
    first = embed_texts(reports(10), CONFIG, tmp_path, teacher_factory=Fake())
    backwards = reports(10)[::-1]
    again = embed_texts(backwards, CONFIG, tmp_path, teacher_factory=Never())
    check(again, backwards)
    assert torch.equal(again.vectors, first.vectors.flip(0))


def test_only_missing_reports_are_embedded(tmp_path):
    embed_texts(reports(6), CONFIG, tmp_path, teacher_factory=Fake())
    fake = Fake()
    check(embed_texts(reports(9), CONFIG, tmp_path, teacher_factory=fake), reports(9))
    assert fake.texts == reports(9)[6:]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"}, {"revision": "1"}, {"layer": 2}, {"pooling": "last"},
        {"max_tokens": 9}, {"dtype": "bfloat16"}, {"store": "float16"},
    ],
)  # fmt: skip
def test_whatever_decides_an_embedding_decides_its_key(change):
    assert replace(CONFIG, **change).key("text") != CONFIG.key("text")
    assert replace(CONFIG, batch=7, device_map=None).key("text") == CONFIG.key("text")


def test_the_cache_is_half_precision_by_default(tmp_path):
    config = TeacherConfig(model="fake")
    result = embed_texts(reports(5), config, tmp_path, teacher_factory=Fake())
    assert result.vectors.dtype == torch.float16
    assert result.gather(torch.tensor([3])).dtype == torch.float32
    exact = torch.stack([meaning(text) for text in reports(5)])
    assert torch.equal(result.vectors, exact.half())


def test_values_beyond_half_precision_are_refused_not_stored_as_infinity(tmp_path):
    class Huge(Fake):
        def embed(self, texts):
            return Embedded(torch.full((len(texts), SIZE), 1e5), ())

    config = TeacherConfig(model="fake")
    with pytest.raises(TeacherError, match='do not fit float16: set store = "float32"'):
        embed_texts(["a"], config, tmp_path, teacher_factory=Huge())
    full = embed_texts(["a"], CONFIG, tmp_path, teacher_factory=Huge())
    assert full.gather(torch.tensor([0])).tolist() == [[1e5] * SIZE]


def test_truncated_reports_are_counted_named_and_remembered(tmp_path, caplog):
    texts = ["short", "a" * 50, "b" * 50, "a" * 50]
    for factory in (Fake(), Never()):
        caplog.clear()
        result = embed_texts(texts, CONFIG, tmp_path, teacher_factory=factory)
        assert (result.truncated, result.truncated_rows) == (2, (1, 2))
        assert "2 of 3 reports are longer than the teacher reads" in caplog.text
        assert "'aaaa" in caplog.text


@pytest.mark.parametrize(("texts", "position"), [(["", "a"], 0), (["a", "b", "\t"], 2)])
def test_an_empty_report_is_named_before_any_model_is_loaded(tmp_path, texts, position):
    with pytest.raises(TeacherError, match=f"first at position {position}"):
        embed_texts(texts, CONFIG, tmp_path, teacher_factory=Never())


def test_no_reports_at_all(tmp_path):
    with pytest.raises(TeacherError, match="no reports"):
        embed_texts([], CONFIG, tmp_path, teacher_factory=Never())


def test_progress_counts_what_was_missing(tmp_path):
    embed_texts(reports(3), CONFIG, tmp_path, teacher_factory=Fake())
    heard = []
    embed_texts(
        reports(12), CONFIG, tmp_path, teacher_factory=Fake(),
        progress=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert heard == [(4, 9), (8, 9), (9, 9)]


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embed_texts(reports(20), CONFIG, tmp_path, teacher_factory=Fake(stop_after=8))
    fake = Fake()
    check(embed_texts(reports(20), CONFIG, tmp_path, teacher_factory=fake), reports(20))
    assert fake.texts == reports(20)[8:]


def _die_while_writing(folder):
    """Killed between a shard's bytes and its name, as by SIGKILL."""
    from align.teacher import shards

    shards.Path.replace = lambda *_: os._exit(9)
    embed_texts(reports(4), CONFIG, folder, teacher_factory=Fake())


def test_a_process_killed_while_writing_leaves_no_lock_and_no_debris(tmp_path, caplog):
    embed_texts(["kept"], CONFIG, tmp_path, teacher_factory=Fake())
    child = multiprocessing.get_context("fork").Process(target=_die_while_writing, args=[tmp_path])
    child.start()
    child.join(30)
    assert child.exitcode == 9
    assert list(tmp_path.glob("*.part"))
    fake = Fake()
    texts = ["kept", *reports(4)]
    check(embed_texts(texts, CONFIG, tmp_path, teacher_factory=fake), texts)
    assert fake.texts == reports(4)
    assert "left by an interruption; discarded" in caplog.text
    assert not list(tmp_path.glob("*.part"))


def test_a_shard_without_index_lines_is_discarded(tmp_path, caplog):
    embed_texts(reports(8), CONFIG, tmp_path, teacher_factory=Fake())
    index = tmp_path / "index.jsonl"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:4]))
    fake = Fake()
    check(embed_texts(reports(8), CONFIG, tmp_path, teacher_factory=fake), reports(8))
    assert fake.texts == reports(8)[4:]
    assert "text-000001.safetensors: left by an interruption; discarded" in caplog.text


@pytest.mark.parametrize("kept", [1.0, 0.9, 0.2, 0.0])
def test_a_truncated_shard_is_recomputed_and_said(tmp_path, caplog, kept):
    embed_texts(reports(12), CONFIG, tmp_path, teacher_factory=Fake())
    shard = tmp_path / "text-000001.safetensors"
    content = shard.read_bytes()
    shard.write_bytes(content[: int(kept * len(content))])
    fake = Fake()
    check(embed_texts(reports(12), CONFIG, tmp_path, teacher_factory=fake), reports(12))
    assert fake.texts == ([] if kept == 1.0 else reports(12)[4:8])
    assert ("damaged or missing; 4 texts are embedded again" in caplog.text) == (kept < 1.0)
    check(embed_texts(reports(12), CONFIG, tmp_path, teacher_factory=Never()), reports(12))


def test_a_missing_shard_is_recomputed(tmp_path):
    embed_texts(reports(8), CONFIG, tmp_path, teacher_factory=Fake())
    (tmp_path / "text-000000.safetensors").unlink()
    fake = Fake()
    check(embed_texts(reports(8), CONFIG, tmp_path, teacher_factory=fake), reports(8))
    assert fake.texts == reports(8)[:4]


@pytest.mark.parametrize("tail", ['{"key": "ab', '{"key": "ab"}\n', "[1]\n", "\x00\x00\n"])
def test_a_torn_index_line_costs_that_line_only(tmp_path, caplog, tail):
    embed_texts(reports(4), CONFIG, tmp_path, teacher_factory=Fake())
    with (tmp_path / "index.jsonl").open("a") as index:
        index.write(tail)
    check(embed_texts(reports(4), CONFIG, tmp_path, teacher_factory=Never()), reports(4))
    assert "1 unreadable lines" in caplog.text
    caplog.clear()
    fake = Fake()
    check(embed_texts(reports(5), CONFIG, tmp_path, teacher_factory=fake), reports(5))
    assert fake.texts == reports(5)[4:]
    assert not caplog.text


def test_an_index_line_cut_short_costs_its_text_only(tmp_path):
    embed_texts(reports(4), CONFIG, tmp_path, teacher_factory=Fake())
    index = tmp_path / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-10])
    fake = Fake()
    check(embed_texts(reports(4), CONFIG, tmp_path, teacher_factory=fake), reports(4))
    assert fake.texts == reports(4)[3:]


def test_files_of_others_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"precious")
    embed_texts(reports(4), CONFIG, tmp_path, teacher_factory=Fake())
    embed_texts(reports(8), CONFIG, tmp_path, teacher_factory=Fake())
    assert (tmp_path / "model.safetensors").read_bytes() == b"precious"


def test_a_teacher_that_changed_its_size_is_refused(tmp_path):
    class Wider(Fake):
        def embed(self, texts):
            return Embedded(torch.ones(len(texts), SIZE + 1), ())

    embed_texts(["a"], CONFIG, tmp_path, teacher_factory=Fake())
    with pytest.raises(TeacherError, match=r"embeddings of 8 and of 9 numbers .* delete"):
        embed_texts(["a", "b"], CONFIG, tmp_path, teacher_factory=Wider())


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TeacherError, match="cannot write the text cache"):
        embed_texts(["a"], CONFIG, tmp_path / "file" / "cache", teacher_factory=Never())


class Slow(Fake):
    def embed(self, texts):
        time.sleep(0.05)
        return super().embed(texts)


def _fill(folder, answers):
    slow = Slow()
    check(embed_texts(reports(16), CONFIG, folder, teacher_factory=slow), reports(16))
    answers.put(len(slow.texts))


def test_two_processes_on_one_cache_share_the_work(tmp_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [context.Process(target=_fill, args=[tmp_path, answers]) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0]
    assert sorted(answers.get(timeout=5) for _ in children) == [0, 16]
    check(embed_texts(reports(16), CONFIG, tmp_path, teacher_factory=Never()), reports(16))


def test_the_shards_are_plain_safetensors(tmp_path):
    embed_texts(reports(3), CONFIG, tmp_path, teacher_factory=Fake())
    content = load_file(tmp_path / "text-000000.safetensors")
    assert list(content) == ["vectors"]
    assert torch.equal(content["vectors"], torch.stack([meaning(text) for text in reports(3)]))
