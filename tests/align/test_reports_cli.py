"""`acula-edge align reports`: what write, verify and audit leave, print and exit with."""

import csv
import json

import pytest
from chat_server import Script, chat_server
from tiny_layouts import write_layout
from typer.testing import CliRunner

from acula_edge.errors import UsageError
from align.reports_cli import app

RECORDINGS = 24  # of the tiny CirCor: 12 children at two sites


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_layout("circor", root)
    return root


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new" / "reports.jsonl"
    assert run("write", "circor", "--data", data, "--out", out).exit_code == 0
    return out


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def refused(result):
    """The sentence of a refused command; anything but a UsageError would be a traceback."""
    assert isinstance(result.exception, UsageError), result.exception
    sentence = str(result.exception)
    assert "\n" not in sentence
    return sentence


def faithful(record, _):
    values = {entry["field"]: entry["value"] for entry in record}
    text = f"Heart sounds of a {values['sex']} {values['age group']}, {values['site']}, "
    text += f"{values['device']}. " + ("No murmur is heard." if "murmur" in values else "")
    findings = [{"field": f, "value": v, "sentence": "s"} for f, v in values.items()]
    return json.dumps({"findings": findings, "report": text})


def test_write_leaves_one_line_per_recording_and_no_half_file(written):
    lines = lines_of(written)
    assert len({(line["corpus"], line["name"]) for line in lines}) == RECORDINGS
    assert {(line["labels"], line["source"]) for line in lines} == {("include", "template")}
    assert [path.name for path in written.parent.iterdir()] == ["reports.jsonl"]


def test_write_without_labels_tells_no_murmur_and_verifies(data, tmp_path):
    out = tmp_path / "r.jsonl"
    result = run("write", "circor", "--data", data, "--out", out, "--labels", "exclude")
    assert f"{RECORDINGS} reports" in result.stdout
    assert not [line for line in lines_of(out) if "murmur" in line["text"].lower()]
    assert run("verify", out, "--data", data).exit_code == 0


def test_write_with_an_endpoint_counts_on_stderr_and_resumes_from_the_cache(data, tmp_path):
    out, script = tmp_path / "r.jsonl", Script(faithful)
    with chat_server(script) as url:
        options = ("--source", "llm", "--model", "m", "--base-url", url, "--labels", "exclude")
        command = ("write", "circor", "--data", data, "--out", out, *options)
        first = run(*command, "--cache", tmp_path / "c")
        reports, asked = lines_of(out), len(script.requests)
        again = run(*command, "--cache", tmp_path / "c")
    assert (first.exit_code, again.exit_code) == (0, 0), first.exception
    assert {line["source"] for line in reports} == {"llm"}
    assert f'"asked": {asked}' in first.stderr
    assert '"asked": 0' in again.stderr
    assert len(script.requests) == asked
    assert lines_of(out) == reports


def test_write_that_fails_keeps_the_old_reports(data, tmp_path):
    out = tmp_path / "r.jsonl"
    out.write_text("old")
    with chat_server(Script(lambda *_: 401)) as url:
        options = ("--source", "llm", "--model", "m", "--base-url", url, "--cache", tmp_path / "c")
        result = run("write", "circor", "--data", data, "--out", out, *options)
    assert "refuses model 'm'" in refused(result)
    assert out.read_text() == "old"


def changed(written, path, **fields):
    first, *others = lines_of(written)
    path.write_text("".join(json.dumps(line) + "\n" for line in [first | fields, *others]))
    return path


def test_verify_prints_each_failure_and_their_number(written, data, tmp_path):
    path = changed(written, tmp_path / "r.jsonl", text="A girl with a murmur and a gallop.")
    result = run("verify", path, "--data", data)
    assert result.exit_code == 1
    assert "circor/1000_AV: {" in result.stdout
    assert "'murmur': 'contradicted'" in result.stdout
    assert f"1 of {RECORDINGS} reports fail" in result.stdout


def test_verify_as_json_is_one_verdict_per_line_and_nothing_else(written, data, tmp_path):
    path = changed(written, tmp_path / "r.jsonl", text="A gallop.")
    result = run("verify", path, "--data", data, "--json")
    verdicts = [json.loads(line) for line in result.stdout.splitlines()]
    assert [verdict["passed"] for verdict in verdicts] == [False] + [True] * (RECORDINGS - 1)
    assert verdicts[0]["verdict"]["hallucinated"] == "gallop: gallop"
    assert f"1 of {RECORDINGS} reports fail" in result.stderr


def test_an_omission_passes_only_if_the_report_lists_it(written, data, tmp_path):
    text = lines_of(written)[0]["text"].replace(" with a Littmann 3200 electronic stethoscope", "")
    silent = changed(written, tmp_path / "a.jsonl", text=text)
    assert run("verify", silent, "--data", data).exit_code == 1
    listed = changed(written, tmp_path / "b.jsonl", text=text, omitted=["device"])
    assert run("verify", listed, "--data", data).exit_code == 0


def test_audit_prints_the_table_and_writes_it_under_the_name(written, data, tmp_path):
    path = changed(written, tmp_path / "r.jsonl", text="A gallop.")
    result = run("audit", path, "--data", data, "--out", tmp_path / "new", "--name", "table")
    assert result.exit_code == 0
    assert f"| hallucinated gallop | 1/{RECORDINGS} " in result.stdout
    table = json.loads((tmp_path / "new" / "table.json").read_text())
    assert (table["flawed"]["count"], table["flawed"]["total"]) == (1, RECORDINGS)
    assert (tmp_path / "new" / "table.md").read_text() == "# Audit of r.jsonl\n\n" + result.stdout


def test_audit_of_a_csv_judges_by_what_its_writer_was_given(data, tmp_path):
    path = tmp_path / "reports.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["Patient_ID", "Meta_Report", "Gen_Report"])
        writer.writerow(["1000", "Murmur: Unknown, Outcome: Abnormal", "A murmur; abnormal."])
        writer.writerow(["1002", "Murmur: Absent, Outcome: Normal", "No murmur; normal."])
    result = run("audit", path, "--data", data)
    assert result.exit_code == 0
    assert "| hallucinated murmur present | 1/2 " in result.stdout
    assert "given = corpus table (murmur fields) for 1 of 2 patients" in result.stdout


@pytest.fixture
def two_children(tmp_path):
    folder = tmp_path / "data" / "circor-digiscope"
    (folder / "training_data").mkdir(parents=True)
    header = "Patient ID,Age,Sex,Murmur,Murmur locations,Additional ID"
    (folder / "training_data.csv").write_text(
        f"{header}\n100,Child,Male,Present,AV,nan\n200,Child,Female,Absent,nan,nan\n"
    )
    for name in ("100_AV", "200_MV"):
        (folder / "training_data" / f"{name}.wav").touch()
    return tmp_path / "data"


def test_write_verify_and_audit_from_the_command_line(two_children, tmp_path):
    out = tmp_path / "reports.jsonl"
    assert run("write", "circor", "--data", two_children, "--out", out).exit_code == 0
    assert run("verify", out, "--data", two_children).exit_code == 0
    lines = out.read_text().splitlines()
    out.write_text("\n".join([lines[0], lines[1].replace("No murmur", "A murmur")]) + "\n")
    verified = run("verify", out, "--data", two_children)
    assert verified.exit_code == 1
    assert "circor/200_MV: {'murmur': 'contradicted'}" in verified.stdout
    audited = run("audit", out, "--data", two_children, "--out", tmp_path / "tables")
    assert audited.exit_code == 0
    table = json.loads((tmp_path / "tables" / "reports-audit.json").read_text())
    assert table["contradicted"]["murmur"]["count"] == 1
    assert "| murmur | 0/2" in (tmp_path / "tables" / "reports-audit.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["write", "circor", "--out", "FOLDER"], "cannot write"),
        (["write", "kauh", "--out", "FOLDER/r"], "kauh"),
        (["write", "no-corpus", "--out", "FOLDER/r"], "no-corpus"),
        (["write", "circor", "--source", "llm", "--out", "FOLDER/r"], "needs --model"),
        (["verify", "FOLDER/none.jsonl"], "cannot read the reports FOLDER/none.jsonl"),
        (["verify", "FOLDER/empty.jsonl"], "holds no report"),
        (["verify", "FOLDER/stranger.jsonl"], "circor/9_AV, which is not in"),
        (["verify", "FOLDER/damaged.jsonl"], "line 1 is no report"),
        (["verify", "FOLDER"], "cannot read the reports"),
        (["audit", "FOLDER/none.csv"], "cannot read the reports FOLDER/none.csv"),
        (["audit", "FOLDER/empty.csv"], "has not the columns"),
    ],
)
def test_bad_input_is_one_sentence_that_names_it(data, tmp_path, arguments, sentence):
    line = {"corpus": "circor", "name": "9_AV", "labels": "include", "text": "", "source": "llm"}
    (tmp_path / "stranger.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "damaged.jsonl").write_text(json.dumps(line)[:-9] + "\n")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "empty.csv").touch()
    arguments = [argument.replace("FOLDER", str(tmp_path)) for argument in arguments]
    assert sentence.replace("FOLDER", str(tmp_path)) in refused(run(*arguments, "--data", data))


@pytest.mark.parametrize(
    "option",
    [("--labels", "some"), ("--attempts", "0"), ("--concurrency", "0"), ("--source", "random")],
)
def test_an_option_out_of_range_is_a_usage_error(data, tmp_path, option):
    result = run("write", "circor", "--data", data, "--out", tmp_path / "r", *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr
    assert not (tmp_path / "r").exists()
