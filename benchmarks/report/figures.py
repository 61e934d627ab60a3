"""Figures as text: significant digits, units, intervals. What is not known says so."""

from __future__ import annotations

from benchmarks.record import Distribution, Interval

NOT_TOLD = "not told"
NOT_MEASURED = "not measured"


def number(value: float, digits: int = 3) -> str:
    """`value` to `digits` significant digits, in full: 0.0123, 1.23, 1,230."""
    # The exponent is taken after rounding, which may carry: 9.996 is 10.0, not 10.00.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    text = f"{value:,.{max(0, digits - 1 - exponent)}f}" if value else "0"
    return text.replace("-", "−")


def count(value: int | None) -> str:
    """A whole number with thousands apart."""
    return NOT_TOLD if value is None else f"{value:,}"


def share(value: float) -> str:
    """A share of one, as AUROC is written: three decimals."""
    return f"{value:.3f}"


def percent(value: float) -> str:
    """A share of one as a percentage."""
    return f"{number(100 * value)} %"


def share_interval(value: Interval | None) -> str:
    """A share of one with its interval, or a dash."""
    if value is None:
        return "–"
    return f"{share(value.value)} [{share(value.low)}, {share(value.high)}]"


def interval(value: Interval | None, unit: str = "") -> str:
    """A figure with its interval and unit, or "not measured"."""
    if value is None:
        return NOT_MEASURED
    text = f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"
    return f"{text} {unit}" if unit else text


def quantile(value: Interval | None, samples: int) -> str:
    """A quantile in ms; where there were too few samples to tell it, that."""
    return f"withheld: {samples:,} samples" if value is None else interval(value)


def withheld(distribution: Distribution) -> list[str]:
    """Names of the quantiles that this distribution has too few samples for."""
    names = ("p90", "p95", "p99")
    return [name for name in names if getattr(distribution, name) is None]


def times(value: float) -> str:
    """A ratio, in as many digits as can matter to anyone."""
    return f"{number(value, 2 if value < 1000 else 3)}×"


def file_size(size: int | None) -> str:
    """Bytes as B, kB or MB, by thousands."""
    if size is None:
        return NOT_TOLD
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{number(size / scale)} {unit}"
    return f"{size} B"


def parameters(value: int | None) -> str:
    """A count of weights: 171 k, 21.3 M."""
    if value is None:
        return NOT_TOLD
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{number(value / scale)} {unit}"
    return str(value)


def told(value: object, unit: str = "") -> str:
    """What a machine told, or "not told"."""
    if value is None or value in ("", ()):
        return NOT_TOLD
    if isinstance(value, tuple):
        return ", ".join(told(item) for item in value)
    if isinstance(value, float):
        value = number(value)
    elif isinstance(value, int):
        value = count(value)
    return f"{value} {unit}" if unit else str(value)


def peer_name(name: str) -> str:
    """A peer's name in print, its acronyms in capitals."""
    first, *rest = name.split(",", 1)
    capital = first.upper() if first in {"ast", "opera-ce", "opera-ct", "opera-gt"} else first
    return ",".join((capital, *rest))


def short(digest: str) -> str:
    """The first twelve digits of a hash."""
    return digest[:12]


def plural(amount: int, what: str) -> str:
    """`1 patient`, `2 patients`."""
    return f"{amount:,} {what}" if amount == 1 else f"{amount:,} {what}s"
