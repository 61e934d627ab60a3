"""What the report says in sentences, computed from the record: headline, stamps, limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.record import Group, Interval, Record
from benchmarks.report import figures, select


@dataclass(frozen=True)
class Stamp:
    """A reason to read the figures with care; `word` is short, `why` a sentence."""

    word: str
    why: str


@dataclass(frozen=True)
class Fact:
    """A figure large enough to be read from afar."""

    figure: str
    what: str
    detail: str


def title(record: Record) -> str:
    """The bundle, and what runs it."""
    run = select.headline_run(record)
    return f"{run.identity.bundle}, {run.identity.variant}" if run else "No model was measured"


def headline(record: Record) -> str:
    """One sentence: how well it hears, what that costs, and beside whom."""
    at_cost = " ".join(part for part in (_hears(record), _costs(record)) if part)
    parts = [part for part in (at_cost, _beside(record)) if part]
    if not parts:
        return "Nothing was measured."
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]


def stamps(record: Record) -> list[Stamp]:
    """All that lessens what the figures are worth."""
    found = []
    if record.busy:
        found.append(
            Stamp("not comparable", f"The machine was not at rest: {'; '.join(record.busy)}.")
        )
    if not record.complete:
        found.append(Stamp("partial", "Interrupted; what had been measured by then was kept."))
    if record.depth == "quick":
        found.append(Stamp("quick", "Fewer turns and samples than --full, so wider intervals."))
    if record.accuracy is None and any(run.latency for run in record.runs):
        found.append(Stamp("speed without accuracy", "How well it hears was not measured."))
    if record.accuracy is not None and record.accuracy.limited_to is not None:
        most = figures.plural(record.accuracy.limited_to, "recording")
        found.append(Stamp("limited accuracy", f"At most {most} of each corpus were scored."))
    found += [
        Stamp(
            "timed, not scored",
            f"{run.identity.variant}: accuracy was not measured on the graph that was timed.",
        )
        for run in record.runs
        if record.accuracy is not None and run.latency and select.scored(record, run) is None
    ]
    if any(run.identity.commit.endswith("+") for run in record.runs):
        found.append(Stamp("changed tree", "The code differs from the commit that it names."))
    return found


def facts(record: Record) -> list[Fact]:
    """The figures a buyer asks for first; those that were measured."""
    run = select.headline_run(record)
    best, original = _best_group(record), select.costly_original(record)
    found = []
    if best is not None and best.auroc is not None:
        detail = f"{_bounds(best.auroc, figures.share)}, {best.corpus}"
        found.append(Fact(figures.share(best.auroc.value), f"AUROC, {best.finding}", detail))
    cost = select.cpu_cost(run) if run else None
    if cost is not None:
        fact = "CPU per second of audio"
        found.append(Fact(f"{figures.number(cost.value)} ms", fact, _bounds(cost, figures.number)))
    if original is not None and original.ratio is not None and original.ratio.value > 1:
        ratio = original.ratio
        found.append(
            Fact(
                figures.times(ratio.value),
                f"less CPU than {figures.peer_name(original.name)}",
                _bounds(ratio, figures.number),
            )
        )
    late = select.p95_hop(run) if run else None
    if run is not None and late is not None:
        due = f"due within {figures.number(select.hop_ms(run))} ms"
        found.append(Fact(f"{figures.number(late.value)} ms", "p95 of a hop", due))
    cold = run.latency.cold if run and run.latency else None
    if cold is not None:
        found.append(
            Fact(
                f"{figures.number(cold.process_ms.value / 1000, 2)} s",
                "start to first event",
                f"peak memory {figures.number(cold.peak_rss_mib)} MiB",
            )
        )
    if run is not None:
        found.append(
            Fact(
                figures.file_size(run.identity.graph_bytes),
                "stream graph",
                f"{run.identity.precision}, {run.identity.rate / 1000:g} kHz",
            )
        )
    return found


def scored_how(record: Record) -> str:
    """Who was listened to, and by which artefact; "" where nobody was."""
    if record.accuracy is None:
        return ""
    timed = [run for run in record.runs if run.latency is not None]
    same = bool(timed) and all(select.scored(record, run) for run in timed)
    original = record.accuracy.original
    return (
        f"{figures.plural(record.accuracy.recordings, 'recording')} of"
        f" {figures.plural(record.accuracy.patients, 'patient')} of the {record.accuracy.split}"
        " split, each heard through the same session that runs live"
        f"{', by the very graphs that were timed' if same else ''}."
        f"{f' The original is the {original.name}.' if original else ''}"
    )


def limits(record: Record) -> list[str]:
    """What the figures do not say."""
    said = [
        "Research use only. Findings are sounds, not diagnoses; this is not a medical device, and"
        " nothing here is clinical validation.",
        "Absolute times hold for this machine, in this hour. Ratios measured in turn within one run"
        " are what to compare between machines.",
    ]
    if record.accuracy is not None:
        looks = figures.plural(record.accuracy.looks, "time")
        said += [
            f"AUROC was measured on the {record.accuracy.split} patients of public corpora, on"
            " reduced copies of their recordings. It is not the figure of another population,"
            " device or prevalence.",
            f"The patients of the {record.accuracy.split} split had been scored {looks} before;"
            " each look flatters what follows a little.",
            "Intervals are 95 % bootstraps over patients, one task at a time; they hold no"
            " correction for the number of tasks.",
        ]
    else:
        said.append("Nothing here says how well the model hears.")
    if record.accuracy is not None and record.accuracy.original is not None:
        said.append(
            "The original is the aligned encoder with a linear probe, on the same patients. It is"
            " not the released model of the AcuLa paper."
        )
    if record.peers is not None:
        said.append(
            "Peers are there for their cost. Those run with random weights, or made for another"
            " task, have no AUROC and are marked on the axis only."
        )
    if record.microcontrollers:
        said.append(
            "Microcontroller figures are instructions counted by an emulator: neither cycles nor"
            " time, and nothing was run on a board."
        )
    stamped = tuple(stamp.word for stamp in stamps(record))
    return [*said, *(note for note in record.notes if not note.startswith(stamped))]


def _best_group(record: Record) -> Group | None:
    variant = select.scored(record, select.headline_run(record))
    first = next(iter(select.tasks(record)), None)
    return select.whole(variant, first) if variant and first else None


def _hears(record: Record) -> str:
    best = _best_group(record)
    if best is None or best.auroc is None:
        return ""
    return f"{best.finding} AUROC {figures.share_interval(best.auroc)}"


def _costs(record: Record) -> str:
    run = select.headline_run(record)
    cost = select.cpu_cost(run) if run else None
    if cost is None:
        return ""
    text = f"{figures.number(cost.value, 2)} ms CPU per second of audio"
    return f"at {text}" if _hears(record) else text


def _beside(record: Record) -> str:
    other = select.costly_original(record)
    if other is None or other.ratio is None:
        return ""
    ratio, less = other.ratio, other.ratio.value >= 1
    factor = ratio.value if less else 1 / ratio.value
    word = "less" if less else "more"
    name = figures.peer_name(other.name)
    return f"{figures.number(factor, 2)} times {word} CPU than {name} in the same run"


def _bounds(value: Interval, shown: Callable[[float], str]) -> str:
    return f"{shown(value.low)} to {shown(value.high)}"
