"""The true rate of a device, from nothing but when its packets arrive.

A packet that says "n samples were captured" cannot arrive before they were. Buffers and radio only
add to its delay, so the truth runs along the lower edge of the points (n / rate, arrival - n /
rate), whose slope is the skew of the clock. Of all lines below all points the one that is nearest
to them on average goes through the edge of their lower convex hull above the mean abscissa (Moon,
Skelly and Towsley, "Estimation and removal of clock skew from network delay measurements", INFOCOM
1999).
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Final

_WINDOW_SECONDS: Final = 120.0
_MOST_POINTS: Final = 8192
_LEAST_SECONDS: Final = 10.0
_LEAST_POINTS: Final = 8
_REFRESH_SECONDS: Final = 1.0
# The offset of a living device moves by its jitter; more is another count, or a host that
# slept.
_LARGEST_STEP_SECONDS: Final = 5.0

Point = tuple[float, float]


class Envelope:
    """Slope of the lower edge of points in the latest two minutes."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=_MOST_POINTS)
        self._slope: float | None = None
        self._fitted_at = 0.0

    def __len__(self) -> int:
        return len(self._points)

    @property
    def seconds(self) -> float:
        """Stretch of sound that the points cover."""
        return self._points[-1][0] - self._points[0][0] if self._points else 0.0

    def add(self, x: float, y: float) -> None:
        """Seconds of sound captured, and how much later than that they were told of."""
        if self._points:
            last_x, last_y = self._points[-1]
            if x < last_x - _LARGEST_STEP_SECONDS or abs(y - last_y) > _LARGEST_STEP_SECONDS:
                self.clear()
            elif x <= last_x:
                return
        self._points.append((x, y))
        while self._points[0][0] < x - _WINDOW_SECONDS:
            self._points.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._points.clear()
        self._slope = None

    def slope(self) -> float | None:
        """Seconds per second; None before ten seconds of points. Fitted once a second."""
        if len(self._points) < _LEAST_POINTS or self.seconds < _LEAST_SECONDS:
            return None
        now = self._points[-1][0]
        if self._slope is None or abs(now - self._fitted_at) >= _REFRESH_SECONDS:
            self._slope, self._fitted_at = lower_slope(list(self._points)), now
        return self._slope


class DeviceClock:
    """How much faster than its nominal `rate` (Hz) a device samples, in parts per million.

    AUDIO and SYNC are told apart, because AUDIO waits in the device until a packet is full; the
    one with more points decides, and SYNC where both have as many.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._audio = Envelope()
        self._sync = Envelope()
        self._ticks: tuple[int, int, int] | None = None
        self.device_ppm: float | None = None

    def audio(self, captured: int, arrival: float) -> None:
        """AUDIO that ends before sample `captured` arrived at `arrival` (monotonic seconds)."""
        self._audio.add(captured / self._rate, arrival - captured / self._rate)

    def sync(self, captured: int, arrival: float, ticks: int, tick_rate: int) -> None:
        """SYNC arrived; `device_ppm` becomes the same skew by the device's own clock, jitterless.

        It tells a converter that runs off its nominal rate, such as a PDM microphone's, from a
        crystal that is off: the first shows in both figures, the second in that of the host alone.
        """
        self._sync.add(captured / self._rate, arrival - captured / self._rate)
        if self._ticks is None or captured <= self._ticks[0] or ticks <= self._ticks[1]:
            self._ticks = (captured, ticks, tick_rate)
        if self._ticks[2] == tick_rate and ticks > self._ticks[1]:
            elapsed = (ticks - self._ticks[1]) / tick_rate
            self.device_ppm = ((captured - self._ticks[0]) / elapsed / self._rate - 1) * 1e6

    def reset(self) -> None:
        """Begin anew: the device or the link was away."""
        self._audio.clear()
        self._sync.clear()
        self._ticks = self.device_ppm = None

    @property
    def seconds(self) -> float:
        """Stretch of sound that the estimate rests on."""
        return self._best().seconds

    @property
    def ppm(self) -> float | None:
        """Skew by the host's clock; None while it is not known."""
        slope = self._best().slope()
        return None if slope is None or slope <= -1.0 else (1.0 / (1.0 + slope) - 1.0) * 1e6

    def _best(self) -> Envelope:
        return self._sync if len(self._sync) >= len(self._audio) else self._audio


def lower_slope(points: list[Point]) -> float:
    """Slope of the lower hull's edge at the mean abscissa; `points` ascend in x, at least two."""
    hull: list[Point] = []
    for point in points:
        while len(hull) > 1 and not _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    mean = sum(x for x, _ in points) / len(points)
    for (x0, y0), (x1, y1) in pairwise(hull):
        if x1 >= mean:
            return (y1 - y0) / (x1 - x0)
    raise ValueError("a slope needs two points")


def _turns_up(a: Point, b: Point, c: Point) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])
