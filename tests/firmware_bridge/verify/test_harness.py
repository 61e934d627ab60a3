"""The harness proven with a model whose answers are known: byte equality, counts, stack."""

import re

import numpy as np
import pytest

from acula_edge.errors import BundleError
from firmware_bridge.verify.verify import check

CORTEX = ("m4", "m7", "m55", "m55-mve")


@pytest.mark.usefixtures("all_host_cc")
def test_the_host_build_is_equal(make_folder, make_case):
    firmware, case = make_case(make_folder())
    report = check(firmware, case, "host")
    assert report.passed and report.equal == report.vectors
    # 60 hops; 40 hops less what the gaps cut; two exams.
    assert 60 + 36 + 2 <= report.vectors < 60 + 40 + 2
    assert report.instructions_per_second is None and report.flash_bytes is None


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("core", CORTEX)
def test_every_core_is_equal_and_measured(core, make_folder, make_case):
    firmware, case = make_case(make_folder())
    report = check(firmware, case, core)
    assert report.passed, report.difference
    assert report.ram_bytes == 128  # the arena and nothing else
    assert 300 < report.flash_bytes < 8000
    # At least a load, an add and a compare per sample, of 4000 a second.
    assert 12_000 < report.instructions_per_second < 100_000
    assert report.worst_instructions >= 3 * 768
    assert "-ffp-contract=off" in report.flags and "-O2" in report.flags


@pytest.mark.usefixtures("arm")
def test_the_stack_mark_grows_with_the_stack(make_folder, make_case, tmp_path):
    used = {}
    for size in (64, 2064):
        folder = make_folder(stack=size)
        used[size] = check(*make_case(folder), "m4").stack_bytes
        folder.rename(tmp_path / f"done-{size}")
    assert used[2064] - used[64] == 2000


@pytest.mark.usefixtures("arm")
def test_instructions_are_counted_exactly(make_folder, make_case, tmp_path):
    loop = "*consumed = 0;\n    __asm__ volatile("
    counts = {}
    for turns in (1000, 11000):
        asm = f'"mov r3, #{turns}\\n1: subs r3, r3, #1\\n bne 1b" : : : "r3", "cc");'
        folder = make_folder(edits={"*consumed = 0;": loop + asm})
        firmware, case = make_case(folder)
        counts[turns] = check(firmware, case, "m4").instructions_per_second * case.seconds
        folder.rename(tmp_path / f"done-{turns}")
    pushes = _pushes(case)
    assert (counts[11000] - counts[1000]) / pushes == pytest.approx(20_000, rel=1e-3)


def _pushes(case):
    """Calls of acula_push: one a block, one more for each hop."""
    from firmware_bridge.verify.script import steps_of

    hops = sum(int(record["tag"]) == 1 for record in case.expected.records)
    return sum(step.operation == "push" for step in steps_of(case.sounds)) + hops


@pytest.mark.usefixtures("host_cc")
def test_a_difference_is_named(make_folder, make_case):
    wrong = {"result->embedding[4] = (float)self->count;": "result->embedding[4] = 767.0f;"}
    firmware, case = make_case(make_folder(edits=wrong))
    report = check(firmware, case, "host")
    assert not report.passed
    assert report.equal == 2  # the exams
    assert re.fullmatch(
        r"golden, hop 0: embedding\[4\]: expected .*768.0\)?, got .*767.0\)?", report.difference
    )


@pytest.mark.usefixtures("host_cc")
def test_a_single_wrong_bit_is_found(make_folder, make_case):
    """-0.0 equals 0.0 as a number; its bytes differ."""
    wrong = {"-0.0f;": "self->hop == 7 ? 0.0f : -0.0f;"}
    firmware, case = make_case(make_folder(edits=wrong))
    report = check(firmware, case, "host")
    assert report.equal == report.vectors - 2
    assert report.difference.startswith("golden, hop 6: phases[1][2]: expected ")


@pytest.mark.usefixtures("arm")
def test_a_difference_on_a_core_alone_is_found(make_folder, make_case):
    wrong = {"(float)deep[k];": "(float)deep[k] * (sizeof(void *) == 4 ? 2.0f : 1.0f);"}
    firmware, case = make_case(make_folder(edits=wrong))
    report = check(firmware, case, "m4")
    assert report.difference.startswith("golden, hop 0: scores[0]: expected ")


@pytest.mark.usefixtures("host_cc")
def test_a_missing_hop_is_found(make_folder, make_case):
    firmware, case = make_case(make_folder(edits={"== ACULA_HOP": "== ACULA_HOP + 1"}))
    report = check(firmware, case, "host")
    assert not report.passed and report.equal < report.vectors


@pytest.mark.usefixtures("host_cc")
def test_a_refusal_is_found(make_folder, make_case):
    firmware, case = make_case(make_folder(edits={"if (self->finished)": "if (self->hop > 3)"}))
    report = check(firmware, case, "host")
    assert (
        report.difference == "golden, hop 4: expected a hop's result, got a refusal with status 4"
    )


@pytest.mark.usefixtures("host_cc")
def test_recordings_are_compared_too(make_folder, make_case):
    sound = np.full(10 * 768 + 5, 100, np.int16)
    firmware, case = make_case(make_folder(hops=45), [sound])
    report = check(firmware, case, "host")
    assert report.passed
    names = case.expected.names
    assert names[-11:] == (*(f"recording, hop {n}" for n in range(10)), "recording, exam")


@pytest.mark.usefixtures("host_cc")
def test_undefined_behaviour_stops_the_host_build(make_folder, make_case):
    wrong = {"self->sum += pcm[taken++];": "self->sum += pcm[taken++] * 2000000;"}
    firmware, case = make_case(make_folder(edits=wrong))
    with pytest.raises(BundleError, match="runtime error: signed integer overflow"):
        check(firmware, case, "host")


@pytest.mark.usefixtures("arm")
def test_a_processor_fault_is_a_sentence(make_folder, make_case):
    wrong = {"result->embedding[4] =": "*(volatile int *)0xF0000000 = 1; result->embedding[4] ="}
    firmware, case = make_case(make_folder(edits=wrong))
    with pytest.raises(BundleError, match=r"qemu-system-arm failed \(70\)"):
        check(firmware, case, "m4")


@pytest.mark.usefixtures("arm")
def test_a_full_stack_is_a_sentence(make_folder, make_case):
    firmware, case = make_case(make_folder(stack=0x8000 + 64))
    with pytest.raises(BundleError, match="the stack is full"):
        check(firmware, case, "m4")


@pytest.mark.usefixtures("host_cc")
def test_code_that_warns_does_not_pass(make_folder, make_case):
    wrong = {"size_t taken = 0;": "size_t taken = 0; int unused;"}
    firmware, case = make_case(make_folder(edits=wrong))
    with pytest.raises(BundleError, match="unused"):
        check(firmware, case, "host")
