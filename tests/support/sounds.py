"""Synthetic auscultation for tests: seeded, licence-free, one property at a time."""

import numpy as np

RATE = 4000


def heartbeat(seconds, rate=RATE, beats_per_minute=80, noise=0.003, seed=0):
    """S1 and S2 bursts over faint noise: float32 (n,), peak about 0.5."""
    time = np.arange(int(seconds * rate)) / rate
    period = 60 / beats_per_minute
    sound = noise * np.random.default_rng(seed).standard_normal(len(time))
    for offset, pitch, level in ((0.10, 55.0, 0.5), (0.42, 75.0, 0.35)):
        phase = time % period - offset
        sound += level * np.exp(-((phase / 0.02) ** 2)) * np.sin(2 * np.pi * pitch * phase)
    return sound.astype(np.float32)


def noise(seconds, rate=RATE, level=0.05, seed=0):
    """White noise, float32 (n,)."""
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(int(seconds * rate))).astype(np.float32)


def tone(seconds, hz, rate=RATE, level=0.3):
    """A sine, float32 (n,)."""
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )
