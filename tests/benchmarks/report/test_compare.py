"""Only like is compared with like."""

from dataclasses import replace

import bench_record
import pytest

from acula_edge.errors import UsageError
from benchmarks.record import Run
from benchmarks.report.compare import compare_records, comparison_page, comparison_text


def other(**changes):
    slow = tuple(Run(run.identity, bench_record.latency(3.0)) for run in bench_record.record().runs)
    machine = replace(bench_record.machine(), cpu="Another CPU")
    return bench_record.record(**{"runs": slow, "machine": machine, **changes})


def compared(second):
    return compare_records([("laptop", bench_record.record()), ("board", second)])


def cells(comparison, caption, row):
    table = next(t for t in comparison.tables if t.caption == caption)
    return next(r[1:] for r in table.rows if r[0] == row)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bundle_sha256", "0" * 64),
        ("graph_sha256", "1" * 64),
        ("preprocessing", "2" * 64),
        ("source_rate", 8000),
        ("block_seconds", 0.5),
        ("hop", 1),
    ],
)
def test_another_contract_is_refused_with_the_field_and_both_values(field, value):
    runs = other().runs
    identity = replace(runs[0].identity, **{field: value})
    with pytest.raises(UsageError) as caught:
        compared(other(runs=(Run(identity, runs[0].latency), runs[1])))
    said = str(caught.value)
    assert f"{field} of cpu-int8" in said
    assert repr(value) in said
    assert repr(getattr(runs[0].identity, field)) in said
    assert "laptop and board" in said


def test_other_variants_are_refused():
    with pytest.raises(UsageError, match="variant is 'cpu-int8, fp32' in one and 'cpu-int8' in"):
        compared(other(runs=other().runs[:1]))


def test_other_recordings_are_refused():
    with pytest.raises(UsageError, match=r"accuracy\.digest is 'e+' in one and '0+' in the other"):
        compared(other(accuracy=replace(bench_record.accuracy(), digest="0" * 64)))


def test_another_schema_is_refused():
    with pytest.raises(UsageError, match="schema is 1 in one and 2 in the other"):
        compared(other(schema=2))


def test_another_side_of_the_ratios_is_refused():
    peers = bench_record.peers()
    mine = replace(peers.rows[0], name="something else")
    with pytest.raises(UsageError, match="our side of the ratios"):
        compared(other(peers=replace(peers, rows=(mine, *peers.rows[1:]))))


def test_accuracy_may_be_missing_on_a_machine():
    result = compared(other(accuracy=None))
    assert cells(result, "AUROC on the same recordings", "cpu-int8: murmur") == (
        "0.955 [0.908, 0.978]",
        "not measured",
    )


def test_each_machine_keeps_its_own_times():
    told = cells(
        compared(other()), "Absolute figures, each machine's own",
        "cpu-int8: CPU ms per second of audio",
    )  # fmt: skip
    assert told == ("1.23 [1.17, 1.29]", "3.69 [3.51, 3.87]")


def test_a_busy_machine_is_named_so_wherever_its_times_stand():
    result = compared(other(busy=("load 4.8",)))
    for table in result.tables[:2]:
        assert table.header[1:] == ("laptop", "board (not comparable)")
    assert "load 4.8" in comparison_text(result)


def test_only_peers_of_both_runs_in_one_version_are_compared():
    peers = bench_record.peers()
    rows = [
        replace(row, version="2.0") if row.name == "Silero VAD" else row
        for row in peers.rows
        if row.name != "webrtcvad"
    ]
    result = compared(other(peers=replace(peers, rows=tuple(rows))))
    named = {row[0] for row in result.tables[0].rows}
    assert "OPERA-GT" in named
    assert not named & {"Silero VAD", "webrtcvad", "imaginary-lung cpu-int8, whole path"}
    assert result.left_out == (
        "Silero VAD: its versions differ (1.0, 2.0)",
        "webrtcvad: not measured in board",
    )


def test_without_peers_the_rest_is_compared():
    page = comparison_page(compared(other(peers=None)))
    assert "Absolute figures" in page
    assert "<svg" not in page


def test_names_must_tell_machines_apart():
    record = bench_record.record()
    with pytest.raises(UsageError, match="both named 'a'"):
        compare_records([("a", record), ("a", record)])
    with pytest.raises(UsageError, match="two records or more"):
        compare_records([("a", record)])
    with pytest.raises(UsageError, match="b holds no run"):
        compare_records([("a", record), ("b", bench_record.record(runs=()))])


def test_the_page_escapes_names():
    record = bench_record.record()
    page = comparison_page(compare_records([("<script>a", record), ("b", other())]))
    assert "<script>" not in page
    assert "&lt;script&gt;a" in page
    assert "fair comparison" in page
