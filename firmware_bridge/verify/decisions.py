"""Whether firmware decides as `acula-edge classify` does, recording by recording.

Every byte of the C is the reference's, so the reference stands for it here. The two do not share
all code: `classify` runs the graph in ONNX Runtime, with a float front end of another order of
operations, and its gate also knows mains hum. Recordings in which that made the host refuse hops
that firmware scored are counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acula_edge.bundle import Bundle, load_bundle
from acula_edge.errors import UsageError
from acula_edge.session import Session
from firmware_bridge.model import McuModel, read_model
from firmware_bridge.reference import Reference
from firmware_bridge.verify.case import Recording, reference_of, sound_of
from firmware_bridge.verify.folder import Firmware
from firmware_bridge.verify.script import Sound


@dataclass(frozen=True)
class Agreement:
    """Exams of `recordings` that both heard alike: how many have `equal` decisions.

    `gated` more were refused in part by the host alone. `largest` is the greatest difference of a
    probability, `difference` names the first recording that was decided otherwise.
    """

    recordings: int
    equal: int
    gated: int
    largest: float
    difference: str

    @property
    def passed(self) -> bool:
        """Whether every recording was decided alike."""
        return self.equal == self.recordings

    def __str__(self) -> str:
        apart = f"; {self.gated} more were refused in part by the host alone" * bool(self.gated)
        return (
            f"decisions: {self.equal} of {self.recordings} recordings as `classify` decides them,"
            f" probabilities within {self.largest:.4f}{apart}"
        )


def decide_alike(
    firmware: Firmware, bundle: str | Path | None, recordings: Sequence[Recording]
) -> Agreement:
    """Compare on `recordings`; `bundle` is what the folder was made from (default: shipped).

    Raises:
        UsageError: no recordings to compare on.
        BundleError: another bundle.
        AudioFileError: a recording cannot be read.
    """
    if not recordings:
        raise UsageError("decisions are compared on recordings: name some with --recording")
    about = firmware.about
    reference_of(firmware, bundle, "float")  # refuses a bundle that is not the folder's
    loaded = load_bundle(about.model.name if bundle is None else bundle)
    model = read_model(loaded, about.model.variant)
    return agreement(loaded, model, [sound_of(each, about.rate) for each in recordings])


def agreement(bundle: Bundle, model: McuModel, sounds: Sequence[Sound]) -> Agreement:
    """Compare exams of whole sounds at the model rate.

    Raises:
        BundleError: ONNX Runtime refuses the variant's graph.
    """
    reference = Reference(model)
    compared = equal = gated = 0
    largest, difference = 0.0, ""
    for sound in sounds:
        with Session(bundle, variant=model.variant) as session:
            session.push(sound.pcm)
            theirs = session.finish()
        reference.reset()
        reference.push(sound.pcm)
        ours = reference.finish()
        if theirs.refused_seconds != ours.refused_hops * (model.hop / model.rate):
            gated += 1
            continue
        compared += 1
        said = [result.decision.value for result in theirs.findings.values()]
        if said == [word.name.lower() for word in ours.decision]:
            equal += 1
        elif not difference:
            difference = f"{sound.name}: classify says {', '.join(said)}"
        known = [-1.0 if r.probability is None else r.probability for r in theirs.findings.values()]
        largest = max(largest, float(np.abs(np.array(known) - ours.probability).max()))
    return Agreement(compared, equal, gated, largest, difference)
