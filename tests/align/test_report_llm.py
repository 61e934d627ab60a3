"""The LLM writer against a scripted endpoint and a tiny local model."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from chat_server import Script, chat_server

from align.corpora.recording import Recording
from align.reports import ReportError, texts_for
from align.reports.answer_cache import AnswerCache
from align.reports.backends import EndpointBackend, LocalBackend, Refusal
from align.reports.facts import facts_of
from align.reports.llm import REFUSALS_ALLOWED, write_all
from align.reports.prompt import AnswerError, prompt_for, read_answer


def row(index=0, murmur="Absent"):
    return Recording(
        corpus="circor",
        name=f"{index}_AV",
        path=Path("a.wav"),
        patient=str(index),
        device="littmann-3200",
        site="AV",
        split="train",
        labels={},
        metadata={"Sex": "Male", "Height": f"{60 + index}.0", "Murmur": murmur},
    )


def answer(record, text=None):
    """What a faithful model writes for a record."""
    values = {entry["field"]: entry["value"] for entry in record}
    report = text or (
        f"Heart sounds of a {values['sex']} patient of {values['height']} cm at the "
        f"{values['site']}, {values['device']}. No murmur is heard."
    )
    findings = [
        {"field": entry["field"], "value": entry["value"], "sentence": "s"} for entry in record
    ]
    return json.dumps({"findings": findings, "report": report})


@contextmanager
def endpoint(script, **options):
    with chat_server(script) as url:
        backend = EndpointBackend("m", url, revision="r", concurrency=4, timeout=2, **options)
        try:
            yield backend
        finally:
            backend.close()


def write(script, rows, path, **options):
    with endpoint(script) as backend, AnswerCache(path) as cache:
        return write_all(rows, backend, cache, **options)


def test_good_answers_become_verified_reports_with_their_provenance(tmp_path):
    script = Script(lambda record, _: answer(record))
    reports, counts = write(script, [row(0), row(1)], tmp_path / "a.jsonl", seed=7)
    assert [report.source for report in reports] == ["llm", "llm"]
    first = reports[0]
    assert (first.model, first.revision, first.seed) == ("m", "r", 7)
    assert first.prompt_sha256 == prompt_for(facts_of(row(0))).sha256
    assert set(first.verdict.values()) == {"stated"}
    assert (counts.asked, counts.fallbacks) == (2, 0)
    schema = script.requests[0]["response_format"]["json_schema"]["schema"]
    value = schema["properties"]["findings"]["items"]["properties"]["value"]
    assert "absent" in value["enum"]
    assert script.requests[0]["seed"] == 7


def test_equal_records_are_asked_once(tmp_path):
    twin = row(0)
    script = Script(lambda record, _: answer(record))
    reports, counts = write(script, [twin, row(1), twin], tmp_path / "a.jsonl")
    assert reports[0] == reports[2] != reports[1]
    assert (counts.recordings, counts.prompts, len(script.requests)) == (3, 2, 2)


def test_a_hallucination_is_asked_again_with_the_next_seed(tmp_path):
    def lies_first(record, attempt):
        return answer(record, None if attempt else "A boy with a loud murmur and a gallop.")

    script = Script(lies_first)
    (report,), counts = write(script, [row()], tmp_path / "a.jsonl", seed=5)
    assert (report.source, report.seed) == ("llm", 6)
    assert [asked["seed"] for asked in script.requests] == [5, 6]
    assert counts.failed_check == 1


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("A boy with a murmur.", "failed_check"),
        ("", "not_json"),
        ("word " * 200, "not_json"),
    ],
)
def test_what_never_passes_ends_in_the_template_with_the_last_verdict(tmp_path, text, failure):
    script = Script(lambda record, _: json.dumps({"findings": [], "report": text}))
    (report,), counts = write(script, [row()], tmp_path / "a.jsonl", attempts=3)
    (template,) = texts_for([row()], "template")
    assert (report.source, report.text) == ("template", template.text)
    assert report.verdict
    assert (getattr(counts, failure), counts.fallbacks) == (3, 1)


def test_a_finding_may_never_be_left_out_but_a_height_may(tmp_path):
    def terse(record, _):
        kept = [entry for entry in record if entry["field"] != "height"]
        text = "Heart sounds of a boy, aortic area, Littmann 3200. No murmur."
        return answer(kept, text)

    (report,), _ = write(Script(terse), [row()], tmp_path / "a.jsonl")
    assert (report.source, report.omitted) == ("llm", ("height",))

    def silent(record, _):
        kept = [entry for entry in record if entry["field"] != "murmur"]
        return answer(kept, "Heart sounds of a boy, 60 cm, aortic area, Littmann 3200.")

    (report,), _ = write(Script(silent), [row()], tmp_path / "b.jsonl")
    assert report.source == "template"


@pytest.mark.parametrize(
    "garbage", ["no braces", "{", '{"report": "x"}', '{"findings": 3, "report": "x"}', "[1]", "{}}"]
)
def test_garbage_counts_as_bad_json(tmp_path, garbage):
    (report,), counts = write(Script(lambda *_: garbage), [row()], tmp_path / "a.jsonl", attempts=2)
    assert (report.source, counts.not_json) == ("template", 2)


def test_json_between_words_and_fences_is_read():
    record = [{"field": fact.field, "value": fact.value} for fact in facts_of(row())]
    fenced = f"Sure!\n```json\n{answer([], 'A report.')}\n```\nDone."
    assert read_answer(fenced, facts_of(row())).report == "A report."
    with pytest.raises(AnswerError, match="not in the record"):
        read_answer(
            answer([*record, {"field": "murmur", "value": "present"}], "x"), facts_of(row())
        )


def test_a_second_run_asks_nothing_and_gives_the_same(tmp_path):
    rows, path = [row(index) for index in range(5)], tmp_path / "a.jsonl"
    first, _ = write(Script(lambda record, _: answer(record)), rows, path)
    script = Script(lambda *_: 500)
    again, counts = write(script, rows, path)
    assert again == first
    assert (script.requests, counts.from_cache) == ([], 5)


def test_a_truncated_cache_loses_one_answer_and_is_repaired(tmp_path):
    rows, path = [row(index) for index in range(4)], tmp_path / "a.jsonl"
    first, _ = write(Script(lambda record, _: answer(record)), rows, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    script = Script(lambda record, _: answer(record))
    again, counts = write(script, rows, path)
    assert again == first
    assert (len(script.requests), counts.from_cache) == (1, 3)
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_damaged_line_inside_the_cache_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"key": "a", "answer": "b"}\n{"ke\n{"key": "c", "answer": "d"}\n')
    with pytest.raises(ReportError, match="line 2 is damaged"):
        AnswerCache(path)


def test_requests_run_together_but_never_more_than_allowed(tmp_path):
    script = Script(lambda record, _: answer(record))
    write(script, [row(index) for index in range(24)], tmp_path / "a.jsonl")
    assert 2 <= script.most_together <= 4


def test_a_few_server_errors_are_survived(tmp_path):
    script = Script(lambda record, attempt: 500 if attempt == 0 else answer(record))
    reports, counts = write(script, [row(index) for index in range(6)], tmp_path / "a.jsonl")
    assert {report.source for report in reports} == {"llm"}
    assert counts.refused == 6


def test_a_dead_endpoint_stops_the_run_with_one_sentence_and_keeps_the_answers(tmp_path):
    rows, path = [row(index) for index in range(100)], tmp_path / "a.jsonl"
    write(Script(lambda record, _: answer(record)), rows[:3], path)
    script = Script(lambda *_: 500)
    with pytest.raises(ReportError, match=r"no answer .* times in a row .*3 answers are cached"):
        write(script, rows, path)
    assert REFUSALS_ALLOWED <= len(script.requests) <= 100


def test_a_hanging_server_is_a_refusal(tmp_path):
    with endpoint(Script(lambda *_: None)) as backend:
        backend._client.timeout = 0.2
        (reply,) = backend.answers([prompt_for(facts_of(row()))], 0)
    assert isinstance(reply, Refusal)
    assert "timed out" in reply.reason


def test_an_unknown_model_stops_at_once(tmp_path):
    script = Script(lambda *_: 404)
    with pytest.raises(ReportError, match="refuses model 'm'"):
        write(script, [row()], tmp_path / "a.jsonl")


def test_an_endpoint_without_schemas_is_asked_without(tmp_path):
    script = Script(lambda record, _: answer(record), knows_schemas=False)
    reports, _ = write(script, [row(index) for index in range(3)], tmp_path / "a.jsonl")
    assert {report.source for report in reports} == {"llm"}


def test_progress_counts_reports_that_passed(tmp_path):
    seen = []
    script = Script(lambda record, _: answer(record))
    with endpoint(script) as backend, AnswerCache(tmp_path / "a.jsonl") as cache:
        backend.batch = 2
        rows = [row(index) for index in range(5)]
        write_all(rows, backend, cache, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A random two-layer GPT-2 with a word tokenizer, on disk."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    vocabulary = {"<end>": 0, "<unk>": 1, "a": 2, "b": 3, "murmur": 4}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    fast.save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=5,
        n_embd=8,
        n_layer=2,
        n_head=2,
        n_positions=2048,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.set_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_local_model_answers_in_order_and_repeatably(tiny_model):
    backend = LocalBackend(str(tiny_model), max_tokens=8)
    prompts = [prompt_for(facts_of(row(index))) for index in range(3)]
    first, again, other = (backend.answers(prompts, seed) for seed in (1, 1, 2))
    assert len(first) == 3
    assert first == again != other
    assert all("Record" not in text for text in first)


def test_nonsense_of_a_local_model_falls_back_to_the_template(tiny_model, tmp_path):
    backend = LocalBackend(str(tiny_model), max_tokens=8)
    with AnswerCache(tmp_path / "a.jsonl") as cache:
        reports, counts = write_all([row(0), row(1)], backend, cache, attempts=1)
    assert {report.source for report in reports} == {"template"}
    assert counts.not_json == 2


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ReportError, match="cannot load the model"):
        LocalBackend(str(tmp_path / "none"))
