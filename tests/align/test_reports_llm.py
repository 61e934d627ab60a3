"""The LLM writer against a scripted endpoint, on good days and bad, and a tiny local model."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from chat_server import Script, chat_server
from rows import row

from align.reports import ReportError, texts_for
from align.reports.answer_cache import AnswerCache
from align.reports.backends import EndpointBackend, LocalBackend, Refusal
from align.reports.facts import facts_of
from align.reports.llm import REFUSALS_ALLOWED, write_all
from align.reports.prompt import AnswerError, prompt_for, read_answer

ABSENT = {"Sex": "Male", "Murmur": "Absent"}


def child(index, **metadata):
    table = ABSENT | {"Height": f"{60 + index}"} | metadata
    return row(f"{index}_AV", metadata=table, device="littmann-3200")


ROWS = [child(index) for index in range(6)]


def answer(record, text=None):
    """An answer that lists every entry of the record, with its own `text` or a faithful one."""
    findings = [
        {"field": entry["field"], "value": entry["value"], "sentence": "s"} for entry in record
    ]
    return json.dumps({"findings": findings, "report": text or _told(record)})


def faithful(record, _=0):
    """Each entry told in its own words, as a good model would."""
    return answer(record)


def _told(record):
    values = {entry["field"]: entry["value"] for entry in record}
    text = (
        f"Heart sounds of a {values['sex']} patient of {values['height']} cm at the "
        f"{values['site']}, {values['device']}."
    )
    if "murmur" in values:
        text += " No murmur is heard."
    return text


@contextmanager
def backend_at(url, **options):
    options = {"revision": "r", "concurrency": 4, "timeout": 2.0} | options
    backend = EndpointBackend("m", url, **options)
    try:
        yield backend
    finally:
        backend.close()


class Scripted:
    """A backend in this process: `answer(record, attempt)` gives text or a refusal."""

    def __init__(self, answer, model="m", revision="", batch=8):
        self.answer, self.model, self.revision, self.batch = answer, model, revision, batch
        self.asked = []

    def answers(self, prompts, seed):
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt):
        attempt = sum(asked.sha256 == prompt.sha256 for asked in self.asked)
        self.asked.append(prompt)
        record = json.loads(prompt.messages[-1][1].removeprefix("Record:\n"))
        return self.answer(record, attempt)


def write(backend, rows, path, **options):
    with AnswerCache(path) as cache:
        return write_all(rows, backend, cache, **options)


def write_over_http(script, rows, path, *, timeout=2.0, **options):
    with chat_server(script) as url, backend_at(url, timeout=timeout) as backend:
        return write(backend, rows, path, **options)


def test_without_labels_neither_prompt_nor_report_knows_them(tmp_path):
    backend = Scripted(faithful)
    there = child(0, Murmur="Present", **{"Murmur locations": "AV"})
    reports, counts = write(backend, [ROWS[0], there], tmp_path / "a", labels="exclude")
    assert reports[0] == reports[1]
    assert (counts.prompts, reports[0].source) == (1, "llm")
    record = "".join(content for asked in backend.asked for _, content in asked.messages[1:])
    assert "murmur" not in record.lower()


def test_one_silent_prompt_falls_back_and_the_others_are_kept(tmp_path):
    def silent_on_63(record, attempt):
        values = {entry["field"]: entry["value"] for entry in record}
        return None if values["height"] == "63" else faithful(record)

    reports, counts = write_over_http(
        Script(silent_on_63), ROWS, tmp_path / "a", timeout=0.3, attempts=2
    )
    assert [report.source for report in reports] == ["llm"] * 3 + ["template"] + ["llm"] * 2
    assert reports[3].text == texts_for(ROWS[3:4], "template")[0].text
    assert (counts.refused, counts.fallbacks) == (2, 1)


def test_few_prompts_that_nobody_answers_are_an_error_and_no_template(tmp_path):
    with pytest.raises(ReportError, match=r"no answer 2 times in a row .*0 answers are cached"):
        write_over_http(Script(lambda *_: 503), ROWS[:1], tmp_path / "a", attempts=2)


def test_an_endpoint_that_is_not_there_is_one_sentence(tmp_path):
    with (
        backend_at("http://127.0.0.1:9/v1") as backend,
        AnswerCache(tmp_path / "a") as cache,
        pytest.raises(ReportError, match="see that it runs, then start the same command again"),
    ):
        write_all(ROWS, backend, cache)


def test_refusals_with_answers_between_them_do_not_stop_a_run(tmp_path):
    rows = [child(index) for index in range(2 * REFUSALS_ALLOWED - 2)]
    refused = {str(60 + index) for index in range(0, len(rows), 2)}

    def every_other(record, attempt):
        height = next(entry["value"] for entry in record if entry["field"] == "height")
        return Refusal("busy") if height in refused and not attempt else faithful(record)

    reports, counts = write(Scripted(every_other), rows, tmp_path / "a")
    assert {report.source for report in reports} == {"llm"}
    assert counts.refused == REFUSALS_ALLOWED - 1


def test_prompts_that_an_answering_endpoint_rejects_get_the_template(tmp_path):
    path, rows = tmp_path / "a", [child(index) for index in range(REFUSALS_ALLOWED + 5)]
    write(Scripted(faithful), ROWS[:1], path)
    rejecting = Scripted(lambda *_: Refusal("content filter", of_prompt=True))
    reports, counts = write(rejecting, rows, path)
    assert [report.source for report in reports[:2]] == ["llm", "template"]
    assert counts.refused == 3 * (len(rows) - 1)


def test_an_endpoint_that_rejects_everything_stops_the_run(tmp_path):
    rows = [child(index) for index in range(100)]
    rejecting = Scripted(lambda *_: Refusal("max_tokens is too large", of_prompt=True))
    with pytest.raises(ReportError, match="max_tokens is too large"):
        write(rejecting, rows, tmp_path / "a")
    assert len(rejecting.asked) < len(rows)


def test_a_rejected_request_is_the_fault_of_its_prompt(tmp_path):
    with chat_server(Script(lambda *_: 400)) as url, backend_at(url) as backend:
        (reply,) = backend.answers([prompt_for(facts_of(ROWS[0]))], 0)
    assert (type(reply), reply.of_prompt) == (Refusal, True)


@contextmanager
def page_server(body, kind):
    """A proxy that answers 200 with something that is no chat completion."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Log in</html>", "text/html"),
        (b'{"error": "overloaded"}', "application/json"),
        (b'{"choices": []}', "application/json"),
        (b"{half", "application/json"),
    ],
)
def test_a_page_instead_of_an_answer_is_refused_and_never_cached(tmp_path, body, kind):
    path = tmp_path / "a"
    with (
        page_server(body, kind) as url,
        backend_at(url) as backend,
        AnswerCache(path) as cache,
        pytest.raises(ReportError, match="gave no answer"),
    ):
        write_all(ROWS[:1], backend, cache)
    assert path.read_bytes() == b""


def test_a_killed_run_goes_on_where_it_was_and_ends_as_if_never_killed(tmp_path):
    whole, _ = write(Scripted(faithful), ROWS, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(done, total):
        raise Killed

    path = tmp_path / "a"
    with pytest.raises(Killed):
        write(Scripted(faithful, batch=2), ROWS, path, on_progress=kill)
    path.write_bytes(path.read_bytes()[:-1])  # and the kill hit the last line's end
    backend = Scripted(faithful)
    resumed, counts = write(backend, ROWS, path)
    assert resumed == whole
    assert (counts.from_cache, len(backend.asked)) == (1, 5)


def test_bad_answers_are_cached_too_and_not_asked_for_twice(tmp_path):
    def lies(record, _):
        return faithful(record).replace("No murmur", "A murmur")

    write(Scripted(lies), ROWS[:2], tmp_path / "a", attempts=2)
    backend = Scripted(faithful)
    reports, counts = write(backend, ROWS[:2], tmp_path / "a", attempts=2)
    assert backend.asked == []
    assert (counts.failed_check, {report.source for report in reports}) == (4, {"template"})
    assert reports[0].verdict["murmur"] == "contradicted"


@pytest.mark.parametrize("changed", [{"model": "n"}, {"revision": "2"}, {"seed": 5}])
def test_another_model_revision_or_seed_is_asked_anew(tmp_path, changed):
    write(Scripted(faithful), ROWS[:1], tmp_path / "a")
    settings = {"model": "m", "revision": "", "seed": 0} | changed
    backend = Scripted(faithful, settings["model"], settings["revision"])
    (report,), _ = write(backend, ROWS[:1], tmp_path / "a", seed=settings["seed"])
    assert len(backend.asked) == 1
    assert {name: getattr(report, name) for name in settings} == settings


def test_the_key_goes_to_the_endpoint_and_not_into_the_cache(tmp_path):
    with chat_server(Script(faithful)) as url, AnswerCache(tmp_path / "a") as cache:
        backend = EndpointBackend("m", url, api_key="very-secret")
        assert backend._client.api_key == "very-secret"
        write_all(ROWS[:1], backend, cache)
        backend.close()
    assert "very-secret" not in (tmp_path / "a").read_text()


@pytest.mark.parametrize("garbage", ['{"a":' * 5000 + "}", '{"report": ' + "9" * 5000 + "}"])
def test_degenerate_json_is_a_bad_answer_and_no_crash(tmp_path, garbage):
    (report,), counts = write(Scripted(lambda *_: garbage), ROWS[:1], tmp_path / "a", attempts=1)
    assert (report.source, counts.not_json) == ("template", 1)


def test_an_answer_with_odd_characters_survives_the_cache(tmp_path):
    answer = 'a\ud800b\u2028\n"\\é'
    with AnswerCache(tmp_path / "a") as cache:
        cache.put("k", answer)
    with AnswerCache(tmp_path / "a") as cache:
        assert len(cache) == 1
        assert cache.get("k") == answer.replace("\ud800", "?")


def test_a_cache_that_cannot_be_opened_is_one_sentence(tmp_path):
    with pytest.raises(ReportError, match="cannot open the answer cache"):
        AnswerCache(tmp_path)


def test_no_rows_ask_nothing(tmp_path):
    backend = Scripted(faithful)
    reports, counts = write(backend, [], tmp_path / "a")
    assert (reports, backend.asked, counts.prompts) == ([], [], 0)


def test_a_report_is_kept_on_one_line():
    text = json.dumps({"findings": [], "report": " No\n\nmurmur. "})
    assert read_answer(text, ()).report == "No murmur."


def test_equal_facts_make_one_prompt_and_other_facts_another():
    same, twin, other = (facts_of(r) for r in (ROWS[0], replace(ROWS[0], name="x"), ROWS[1]))
    assert prompt_for(same) == prompt_for(twin)
    assert prompt_for(same).sha256 != prompt_for(other).sha256


def test_good_answers_become_verified_reports_with_their_provenance(tmp_path):
    script = Script(faithful)
    reports, counts = write_over_http(script, [child(0), child(1)], tmp_path / "a.jsonl", seed=7)
    assert [report.source for report in reports] == ["llm", "llm"]
    first = reports[0]
    assert (first.model, first.revision, first.seed) == ("m", "r", 7)
    assert first.prompt_sha256 == prompt_for(facts_of(child(0))).sha256
    assert set(first.verdict.values()) == {"stated"}
    assert (counts.asked, counts.fallbacks) == (2, 0)
    schema = script.requests[0]["response_format"]["json_schema"]["schema"]
    value = schema["properties"]["findings"]["items"]["properties"]["value"]
    assert "absent" in value["enum"]
    assert script.requests[0]["seed"] == 7


def test_equal_records_are_asked_once(tmp_path):
    twin = child(0)
    script = Script(faithful)
    reports, counts = write_over_http(script, [twin, child(1), twin], tmp_path / "a.jsonl")
    assert reports[0] == reports[2] != reports[1]
    assert (counts.recordings, counts.prompts, len(script.requests)) == (3, 2, 2)


def test_a_hallucination_is_asked_again_with_the_next_seed(tmp_path):
    def lies_first(record, attempt):
        return answer(record, None if attempt else "A boy with a loud murmur and a gallop.")

    script = Script(lies_first)
    (report,), counts = write_over_http(script, [child(0)], tmp_path / "a.jsonl", seed=5)
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
    (report,), counts = write_over_http(script, [child(0)], tmp_path / "a.jsonl", attempts=3)
    (template,) = texts_for([child(0)], "template")
    assert (report.source, report.text) == ("template", template.text)
    assert report.verdict
    assert (getattr(counts, failure), counts.fallbacks) == (3, 1)


def test_a_finding_may_never_be_left_out_but_a_height_may(tmp_path):
    def terse(record, _):
        kept = [entry for entry in record if entry["field"] != "height"]
        text = "Heart sounds of a boy, aortic area, Littmann 3200. No murmur."
        return answer(kept, text)

    (report,), _ = write_over_http(Script(terse), [child(0)], tmp_path / "a.jsonl")
    assert (report.source, report.omitted) == ("llm", ("height",))

    def silent(record, _):
        kept = [entry for entry in record if entry["field"] != "murmur"]
        return answer(kept, "Heart sounds of a boy, 60 cm, aortic area, Littmann 3200.")

    (report,), _ = write_over_http(Script(silent), [child(0)], tmp_path / "b.jsonl")
    assert report.source == "template"


@pytest.mark.parametrize(
    "garbage", ["no braces", "{", '{"report": "x"}', '{"findings": 3, "report": "x"}', "[1]", "{}}"]
)
def test_garbage_counts_as_bad_json(tmp_path, garbage):
    (report,), counts = write_over_http(
        Script(lambda *_: garbage), [child(0)], tmp_path / "a.jsonl", attempts=2
    )
    assert (report.source, counts.not_json) == ("template", 2)


def test_json_between_words_and_fences_is_read():
    record = [{"field": fact.field, "value": fact.value} for fact in facts_of(child(0))]
    fenced = f"Sure!\n```json\n{answer([], 'A report.')}\n```\nDone."
    assert read_answer(fenced, facts_of(child(0))).report == "A report."
    with pytest.raises(AnswerError, match="not in the record"):
        read_answer(
            answer([*record, {"field": "murmur", "value": "present"}], "x"), facts_of(child(0))
        )


def test_a_second_run_asks_nothing_and_gives_the_same(tmp_path):
    rows, path = [child(index) for index in range(5)], tmp_path / "a.jsonl"
    first, _ = write_over_http(Script(faithful), rows, path)
    script = Script(lambda *_: 500)
    again, counts = write_over_http(script, rows, path)
    assert again == first
    assert (script.requests, counts.from_cache) == ([], 5)


def test_a_truncated_cache_loses_one_answer_and_is_repaired(tmp_path):
    rows, path = [child(index) for index in range(4)], tmp_path / "a.jsonl"
    first, _ = write_over_http(Script(faithful), rows, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    script = Script(faithful)
    again, counts = write_over_http(script, rows, path)
    assert again == first
    assert (len(script.requests), counts.from_cache) == (1, 3)
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_damaged_line_inside_the_cache_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"key": "a", "answer": "b"}\n{"ke\n{"key": "c", "answer": "d"}\n')
    with pytest.raises(ReportError, match="line 2 is damaged"):
        AnswerCache(path)


def test_requests_run_together_but_never_more_than_allowed(tmp_path):
    script = Script(faithful)
    write_over_http(script, [child(index) for index in range(24)], tmp_path / "a.jsonl")
    assert 2 <= script.most_together <= 4


def test_a_few_server_errors_are_survived(tmp_path):
    script = Script(lambda record, attempt: faithful(record) if attempt else 500)
    reports, counts = write_over_http(
        script, [child(index) for index in range(6)], tmp_path / "a.jsonl"
    )
    assert {report.source for report in reports} == {"llm"}
    assert counts.refused == 6


def test_a_dead_endpoint_stops_the_run_with_one_sentence_and_keeps_the_answers(tmp_path):
    rows, path = [child(index) for index in range(100)], tmp_path / "a.jsonl"
    write_over_http(Script(faithful), rows[:3], path)
    script = Script(lambda *_: 500)
    with pytest.raises(ReportError, match=r"no answer .* times in a row .*3 answers are cached"):
        write_over_http(script, rows, path)
    assert REFUSALS_ALLOWED <= len(script.requests) <= 100


def test_a_hanging_server_is_a_refusal(tmp_path):
    with chat_server(Script(lambda *_: None)) as url, backend_at(url) as backend:
        backend._client.timeout = 0.2
        (reply,) = backend.answers([prompt_for(facts_of(child(0)))], 0)
    assert isinstance(reply, Refusal)
    assert "timed out" in reply.reason


def test_an_unknown_model_stops_at_once(tmp_path):
    script = Script(lambda *_: 404)
    with pytest.raises(ReportError, match="refuses model 'm'"):
        write_over_http(script, [child(0)], tmp_path / "a.jsonl")


def test_an_endpoint_without_schemas_is_asked_without(tmp_path):
    script = Script(faithful, knows_schemas=False)
    reports, _ = write_over_http(script, [child(index) for index in range(3)], tmp_path / "a.jsonl")
    assert {report.source for report in reports} == {"llm"}


def test_progress_counts_reports_that_passed(tmp_path):
    seen = []
    with (
        chat_server(Script(faithful)) as url,
        backend_at(url) as backend,
        AnswerCache(tmp_path / "a.jsonl") as cache,
    ):
        backend.batch = 2
        rows = [child(index) for index in range(5)]
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
    prompts = [prompt_for(facts_of(child(index))) for index in range(3)]
    first, again, other = (backend.answers(prompts, seed) for seed in (1, 1, 2))
    assert len(first) == 3
    assert first == again != other
    assert all("Record" not in text for text in first)


def test_nonsense_of_a_local_model_falls_back_to_the_template(tiny_model, tmp_path):
    backend = LocalBackend(str(tiny_model), max_tokens=8)
    with AnswerCache(tmp_path / "a.jsonl") as cache:
        reports, counts = write_all([child(0), child(1)], backend, cache, attempts=1)
    assert {report.source for report in reports} == {"template"}
    assert counts.not_json == 2


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ReportError, match="cannot load the model"):
        LocalBackend(str(tmp_path / "none"))
