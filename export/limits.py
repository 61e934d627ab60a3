"""What a bundle was not shown to do, for its card and its bill of materials."""

from __future__ import annotations

from acula_edge.bundle import Manifest

POPULATION = {
    "circor": "children and adolescents in Brazil, one stethoscope (Littmann 3200)",
    "sprsound": "children in one hospital in Shanghai, one stethoscope (Yunting model II)",
    "physionet2016": "adults and others, several devices; no patient ids",
}
NOT_REPORTED = "not reported"


def limits(manifest: Manifest) -> list[str]:
    """One sentence each."""
    parity = manifest.parity
    # A corpus of several devices has an entry for each: physionet2016-a, ...
    heard = dict.fromkeys(item.corpus.partition("-")[0] for item in manifest.training_data)
    people = "; ".join(f"{name}: {POPULATION.get(name, NOT_REPORTED)}" for name in heard)
    return [
        f"Who was recorded for training: {people}. Anyone else, other stethoscopes and other"
        " clinics are outside it.",
        "Probabilities are calibrated to the validation patients. Where the finding is commoner,"
        " or patients are of another age, they are off: compare `expected` with `prevalence` and"
        " the subgroups.",
        "Thresholds rest on few validation patients with a finding; their number is in the table"
        " of calibration.",
        f"Logits agree within {parity.window_tolerance:g} between stream and window graph, within"
        f" {parity.golden_tolerance:g} between hosts, and within {parity.gain_tolerance:g} when"
        " the same sound is 20 dB louder or softer.",
    ]
