"""The emitted model itself, on a Cortex-M4 and here: byte-equal, within budget, the loop closed.

The long run (600 vectors, ten minutes of recordings, every core) is the command `firmware verify`.
"""

import numpy as np
import pytest

from acula_edge.errors import BundleError
from firmware_bridge.verify.case import make_case
from firmware_bridge.verify.folder import read_folder
from firmware_bridge.verify.verify import check, verify

pytest.importorskip("torch", reason="pip install 'acula-edge[export]'")
HOPS = 40


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(bundle, folder) of a student with random weights, as wide as XS."""
    from mcu_bundle import mcu_bundle

    from firmware_bridge.emit.core import export_firmware

    root = tmp_path_factory.mktemp("exported")
    bundle = mcu_bundle(root)
    export_firmware(bundle, root / "firmware", vectors=HOPS)
    return bundle, root / "firmware"


@pytest.fixture(scope="module")
def heard():
    """Twelve seconds of a body."""
    from mcu_bundle import mcu_pcm

    return mcu_pcm(62, seed=9)[:-300]


@pytest.fixture(scope="module")
def proof(exported, heard):
    """(firmware, case) answered by the reference, once for every test."""
    bundle, folder = exported
    firmware = read_folder(folder)
    return firmware, make_case(firmware, recordings=[heard], bundle=bundle.origin)


@pytest.mark.usefixtures("arm")
def test_a_cortex_m4_is_equal_and_within_budget(proof):
    firmware, case = proof
    report = check(firmware, case, "m4")
    assert report.passed, report.difference
    assert report.vectors > 2 * HOPS + 50
    assert report.flash_bytes <= 256_000
    assert report.ram_bytes + report.stack_bytes <= 64_000
    assert report.ram_bytes == firmware.about.arena_bytes
    assert report.instructions_per_second <= 12.8e6


@pytest.mark.usefixtures("host_cc")
def test_the_host_is_equal_under_sanitisers(proof):
    firmware, case = proof
    report = check(firmware, case, "host")
    assert report.passed, report.difference


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("rounding", ["single", "double"])
def test_each_rounding_equals_its_own_reference_and_no_other(rounding, exported):
    bundle, folder = exported
    firmware = read_folder(folder)
    case = make_case(firmware, rounding=rounding, bundle=bundle.origin)
    own = check(firmware, case, "m4", rounding=rounding)
    assert own.passed, own.difference
    assert not check(firmware, case, "m4", rounding="float").passed


@pytest.mark.usefixtures("arm")
def test_the_example_sends_what_the_reference_says(exported, proof, heard):
    pytest.importorskip("cobs", reason="pip install 'acula-edge[firmware]'")
    from firmware_bridge.example.run import run_example
    from firmware_bridge.link.payload import Info

    firmware, case = proof
    sent = list(run_example(firmware, heard))
    results = [each for each in sent if not isinstance(each, Info)]
    assert isinstance(sent[0], Info)
    assert sent[0].model.hex() == firmware.about.model.sha256
    expected = [
        record
        for record, name in zip(case.expected.records, case.expected.names, strict=True)
        if name.startswith("recording, hop")
    ]
    assert len(results) == len(expected) == len(heard) // 768
    for theirs, mine in zip(results, expected, strict=True):
        assert theirs.probabilities == tuple(float(p) for p in mine["probability"].astype("<f4"))
        assert theirs.active == tuple(np.flatnonzero(mine["active"]))
        assert ["ok", "warn", "refuse"].index(theirs.quality.value) == int(mine["quality"])


def test_a_folder_of_another_bundle_is_refused(exported, tmp_path):
    from mcu_bundle import mcu_bundle

    _, folder = exported
    other = mcu_bundle(tmp_path, width=16)
    with pytest.raises(BundleError, match="was not made from"):
        verify(folder, "host", bundle=other.origin)
