"""Records: their layout, and where two streams first differ."""

import types

import numpy as np
import pytest

from acula_edge.errors import BundleError
from firmware_bridge.verify.records import END, EXAM, RESULT, Shape, compare, packed, split

SHAPE = Shape(findings=2, steps=3, phases=0, embedding=4)


def result(hop, **changes):
    fields = {
        "start": 768 * hop,
        "hop": hop,
        "quality": 0,
        "reasons": 0,
        "active": (0, 1),
        "scores": (1.0, 2.0),
        "step_scores": np.arange(6.0).reshape(2, 3),
        "phases": np.empty((0, 3)),
        "embedding": (0.0, 1.0, 2.0, 3.0),
        "probability": (0.1, 0.9),
    }
    return packed(SHAPE, RESULT, types.SimpleNamespace(**{**fields, **changes}))


def exam(**changes):
    fields = {"probability": (0.2, -1.0), "decision": (1, 2), "abstained": 0}
    counts = {"evidence_hops": 3, "refused_hops": 1}
    return packed(SHAPE, EXAM, types.SimpleNamespace(**{**fields, **counts, **changes}))


def end():
    record = np.zeros(1, SHAPE.dtype(END))
    record["tag"], record["calibration"], record["ticks"] = END, 5000, 2**40
    record["worst"], record["stack"] = 7, 640
    return record.tobytes()


def test_records_are_packed_in_the_order_of_the_c_structs():
    data = result(3).tobytes()
    assert len(data) == 4 + 8 + 4 + 1 + 1 + 2 + 8 + 24 + 0 + 16 + 16
    assert data[:20] == bytes([1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1])
    assert data[-8:] == np.float64(0.9).tobytes()
    assert len(exam().tobytes()) == 4 + 16 + 2 + 1 + 4 + 4


def test_what_was_written_is_read_back():
    written = [result(0), result(1), exam()]
    records, last = split(b"".join(r.tobytes() for r in written) + end(), SHAPE)
    assert [r.tobytes() for r in records] == [r.tobytes() for r in written]
    assert (last.calibration, last.ticks, last.worst, last.stack) == (5000, 2**40, 7, 640)


@pytest.mark.parametrize("cut", [1, 12, 24])
def test_a_stream_that_breaks_off_is_refused(cut):
    data = result(0).tobytes() + end()
    with pytest.raises(BundleError, match=r"byte 84|breaks off"):
        split(data[:-cut], SHAPE)


def test_bytes_that_are_no_records_are_refused():
    with pytest.raises(BundleError, match="byte 0"):
        split(b"\x09\0\0\0" + bytes(200), SHAPE)
    with pytest.raises(BundleError, match="breaks off"):
        split(b"", SHAPE)


NAMES = ("x, hop 0", "x, hop 1", "x, exam")


def test_equal_streams():
    ours = [result(0), result(1), exam()]
    verdict = compare(ours, [result(0), result(1), exam()], NAMES)
    assert (verdict.vectors, verdict.equal, verdict.difference) == (3, 3, None)


@pytest.mark.parametrize(
    ("got", "equal", "words"),
    [
        ([result(0), result(1, quality=2), exam()], 2, "x, hop 1: quality: expected "),
        ([result(0, scores=(1, 3)), result(1), exam()], 2, "x, hop 0: scores[1]: expected "),
        (
            [result(0, step_scores=np.zeros((2, 3))), result(1), exam()],
            2,
            "x, hop 0: step_scores[0][1]: expected ",
        ),
        ([result(0), result(1), exam(decision=(1, 1))], 2, "x, exam: decision[1]: expected "),
        ([result(0), exam()], 1, "x, hop 1: expected a hop's result, got an exam"),
        ([result(0), result(1)], 2, "x, exam: expected a record, got none"),
        ([result(0), result(1), exam(), exam()], 3, "after x, exam: an exam too many"),
    ],
)
def test_the_first_difference_is_named(got, equal, words):
    verdict = compare([result(0), result(1), exam()], got, NAMES)
    assert verdict.equal == equal
    assert verdict.difference.startswith(words)


def test_a_not_a_number_is_compared_by_its_bytes():
    quiet = result(0, scores=(np.nan, 2.0))
    assert compare([quiet], [quiet], NAMES[:1]).difference is None
    assert compare([quiet], [result(0)], NAMES[:1]).difference.startswith("x, hop 0: scores[0]")
