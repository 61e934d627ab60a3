"""The LLM writer on bad days: silence, proxies, kills, half failures, labels that must stay out."""

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
from align.reports.backends import EndpointBackend, Refusal
from align.reports.facts import facts_of
from align.reports.llm import REFUSALS_ALLOWED, write_all
from align.reports.prompt import prompt_for, read_answer

ABSENT = {"Sex": "Male", "Murmur": "Absent"}


def child(index, **metadata):
    table = ABSENT | {"Height": f"{60 + index}"} | metadata
    return row(f"{index}_AV", metadata=table, device="littmann-3200")


ROWS = [child(index) for index in range(6)]


def faithful(record, _=0):
    """Each entry told in its own words, as a good model would."""
    values = {entry["field"]: entry["value"] for entry in record}
    text = (
        f"Heart sounds of a {values['sex']} patient of {values['height']} cm at the "
        f"{values['site']}, {values['device']}."
    )
    if "murmur" in values:
        text += " No murmur is heard."
    findings = [{"field": f, "value": v, "sentence": "s"} for f, v in values.items()]
    return json.dumps({"findings": findings, "report": text})


@contextmanager
def backend_at(url, **options):
    options = {"concurrency": 3, "timeout": 2.0} | options
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
