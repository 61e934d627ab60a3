"""The quality gate: may this sound be interpreted?

`SourceCheck` looks at samples as they came (clipping, stuck converters and invalid values vanish in
resampling); `QualityGate` looks at the model-rate signal and gives the verdict. Both see fixed
blocks, so the verdict does not depend on how the sound was cut on the way.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.events import QualityState, Reason
from acula_edge.heartbeat import Heartbeat

Floats = NDArray[np.float32]

ABSENT_SIGNAL = frozenset({Reason.NO_CONTACT, Reason.STUCK, Reason.INVALID_SAMPLES})


@dataclass(frozen=True)
class GateSettings:
    """Limits of the gate. Levels in dB relative to full scale, times in seconds."""

    memory: float = 3.0
    silence_db: float = -75.0
    clip_level: float = 0.985
    clip_warn: float = 0.005
    clip_refuse: float = 0.1
    spectrum_seconds: float = 2.0
    spectrum_every: float = 1.0
    hum_width_hz: float = 1.0
    hum_warn: float = 0.35
    hum_refuse: float = 0.75
    low_band_hz: tuple[float, float] = (20.0, 150.0)
    low_band_warn: float = 1e-3
    high_band_hz: tuple[float, float] = (180.0, 700.0)
    high_band_warn: float = 1e-9
    gap_warn: float = 1.0


@dataclass(frozen=True)
class BlockFacts:
    """What one source block showed; `flat` is one value throughout, and not zero."""

    samples: int
    clipped: int
    invalid: int
    flat: bool


class SourceCheck:
    """Facts about blocks of source samples, before resampling."""

    def __init__(self, clip_level: float):
        self._clip_level = np.float32(clip_level)

    def check(self, pcm: Floats, invalid: int) -> BlockFacts:
        """`pcm` (n,) float32, invalid values already zeroed; `invalid` says how many there were."""
        low, high = float(pcm.min()), float(pcm.max())
        clipped = 0
        if high >= self._clip_level or low <= -self._clip_level:
            clipped = int(np.count_nonzero(np.abs(pcm) >= self._clip_level))
        return BlockFacts(len(pcm), clipped, invalid, flat=low == high != 0.0)


@dataclass(frozen=True)
class Verdict:
    """The gate's answer for one hop."""

    state: QualityState
    reasons: tuple[Reason, ...]


class QualityGate:
    """Verdict per hop from a short memory of facts and a spectrum refreshed about once a second.

    With `needs_heartbeat`, sound is refused once five seconds, and all looks of the last half
    minute, showed no beat: a chestpiece on the heart hears one, a microphone in a room does not.
    """

    def __init__(
        self,
        rate: int,
        hop: int,
        settings: GateSettings | None = None,
        *,
        needs_heartbeat: bool = False,
    ):
        self._rate, self._hop = rate, hop
        self._settings = settings or GateSettings()
        self._hop_seconds = hop / rate
        self._hops = max(1, round(self._settings.memory / self._hop_seconds))
        self._spectrum_size = int(self._settings.spectrum_seconds * rate)
        self._window = np.asarray(np.hanning(self._spectrum_size), np.float32)
        hz = np.asarray(np.fft.rfftfreq(self._spectrum_size, 1 / rate), np.float64)
        self._bands = _Bands(hz, self._settings, rate)
        self._heartbeat = Heartbeat(rate, hop) if needs_heartbeat else None
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._facts: deque[tuple[int, int, int, bool]] = deque(maxlen=self._hops)
        self._powers: deque[float] = deque(maxlen=self._hops)
        self._recent: deque[Floats] = deque(maxlen=math.ceil(self._spectrum_size / self._hop))
        self._since_spectrum = 0.0
        self._spectral: tuple[tuple[Reason, bool], ...] = ()
        self._gap_left = 0.0
        if self._heartbeat is not None:
            self._heartbeat.reset()

    def note_gap(self) -> None:
        """Samples were lost just before the next hop."""
        self.reset()
        self._gap_left = self._settings.gap_warn

    def judge(self, pcm: Floats, facts: list[BlockFacts]) -> Verdict:
        """`pcm` (hop,) at the model rate; `facts` of the source blocks that arrived with it."""
        self._remember(pcm, facts)
        refuse: list[Reason] = []
        warn: list[Reason] = []
        self._judge_presence(refuse)
        self._judge_clipping(refuse, warn)
        if not refuse:
            self._judge_spectrum(refuse, warn)
            if self._heartbeat is not None and self._heartbeat.missing:
                refuse.append(Reason.NO_HEARTBEAT)
        if self._gap_left > 0:
            self._gap_left -= self._hop_seconds
            warn.append(Reason.GAP)
        if refuse:
            return Verdict(QualityState.REFUSE, tuple(refuse))
        if warn:
            return Verdict(QualityState.WARN, tuple(warn))
        return Verdict(QualityState.OK, ())

    def _remember(self, pcm: Floats, facts: list[BlockFacts]) -> None:
        samples = sum(fact.samples for fact in facts)
        clipped = sum(fact.clipped for fact in facts)
        invalid = sum(fact.invalid for fact in facts)
        stuck = bool(facts) and all(fact.flat for fact in facts)
        self._facts.append((samples, clipped, invalid, stuck))
        centred = pcm - pcm.mean()
        self._powers.append(float(np.dot(centred, centred)) / len(pcm))
        self._recent.append(pcm)
        if self._heartbeat is not None:
            self._heartbeat.push(pcm)
        self._since_spectrum += self._hop_seconds

    def _judge_presence(self, refuse: list[Reason]) -> None:
        if any(fact[2] for fact in self._facts):
            refuse.append(Reason.INVALID_SAMPLES)
        if self._facts[-1][3]:
            refuse.append(Reason.STUCK)
        elif max(self._powers) < 10.0 ** (self._settings.silence_db / 10.0):
            refuse.append(Reason.NO_CONTACT)

    def _judge_clipping(self, refuse: list[Reason], warn: list[Reason]) -> None:
        samples = sum(fact[0] for fact in self._facts)
        share = sum(fact[1] for fact in self._facts) / max(samples, 1)
        if share >= self._settings.clip_refuse:
            refuse.append(Reason.CLIPPED)
        elif share >= self._settings.clip_warn:
            warn.append(Reason.CLIPPED)

    def _judge_spectrum(self, refuse: list[Reason], warn: list[Reason]) -> None:
        full = len(self._recent) == self._recent.maxlen
        if full and self._since_spectrum >= self._settings.spectrum_every:
            self._since_spectrum = 0.0
            recent = np.concatenate(list(self._recent))[-self._spectrum_size :]
            self._spectral = self._bands.reasons(recent, self._window)
        for reason, refused in self._spectral:
            (refuse if refused else warn).append(reason)


class _Bands:
    """Where in the spectrum the power lies: mains lines and bands that any body sound fills."""

    def __init__(self, hz: NDArray[np.float64], settings: GateSettings, rate: int):
        self._settings = settings
        self._audible = hz >= 15.0
        self._lines = [
            np.min([np.abs(hz - mains * k) for k in range(1, int(rate / 2 // mains))], axis=0)
            <= settings.hum_width_hz
            for mains in (50.0, 60.0)
        ]
        low, high = settings.low_band_hz, settings.high_band_hz
        self._low = (hz >= low[0]) & (hz <= low[1])
        self._high = (hz >= high[0]) & (hz <= high[1])

    def reasons(self, pcm: Floats, window: Floats) -> tuple[tuple[Reason, bool], ...]:
        """(reason, refused) pairs for two seconds of sound."""
        settings = self._settings
        spectrum = np.fft.rfft((pcm - pcm.mean()) * window)
        power = spectrum.real**2 + spectrum.imag**2
        total = float(power[self._audible].sum())
        if total <= 0.0:
            return ()
        found: list[tuple[Reason, bool]] = []
        hum = max(float(power[lines].sum()) for lines in self._lines) / total
        if hum >= settings.hum_warn:
            found.append((Reason.HUM, hum >= settings.hum_refuse))
        low, high = float(power[self._low].sum()) / total, float(power[self._high].sum()) / total
        if low < settings.low_band_warn or high < settings.high_band_warn:
            found.append((Reason.WRONG_RATE, False))
        return tuple(found)
