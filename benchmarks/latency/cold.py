"""Cold start: fresh processes that import the runtime, load the bundle and hear a first event."""

from __future__ import annotations

import json

from acula_edge.bundle import Bundle
from benchmarks.distribution import median_interval
from benchmarks.latency.child import first_line
from benchmarks.latency.settings import LatencySettings
from benchmarks.record import ColdStart

WARM_UPS = 1  # fills the page cache and writes bytecode, as any start but the first finds them
CHILD = """
import sys, time
began = time.perf_counter()
import numpy as np
import soxr
from acula_edge.session import Session
model, variant, provider, rate, block = sys.argv[1:]
if provider in ("cpu", "tensorrt-ep"):
    import onnxruntime
imported = time.perf_counter()
session = Session(model, source_rate=int(rate), variant=variant, provider=provider)
loaded = time.perf_counter()
silence = np.zeros(max(1, round(int(rate) * float(block))), np.float32)
while not session.push(silence):
    pass
heard = time.perf_counter()
try:
    # The rusage of a process on Linux starts from the memory of the one that forked it.
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
except (OSError, IndexError):
    import resource
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
times = [1e3 * (imported - began), 1e3 * (loaded - imported), 1e3 * (heard - loaded)]
print([*times, peak], flush=True)
"""


def measure_cold(
    bundle: Bundle, variant: str, provider: str, settings: LatencySettings
) -> ColdStart:
    """Start `cold_runs` processes one after another, after one to warm the page cache.

    The first event is that of silence pushed flat out: the time that the sound itself takes is not
    in it. The bundle is read again from where it was loaded.

    Raises:
        AculaError: a process failed.
    """
    given = (settings.source_rate, settings.block_seconds)
    arguments = [str(bundle.origin), variant, provider, *(str(value) for value in given)]
    rows = []
    for _ in range(settings.cold_runs + WARM_UPS):
        line, took = first_line(CHILD, arguments, "the first event")
        rows.append([*json.loads(line), 1e3 * took])
    imports, loads, events, peaks, walls = zip(*rows[WARM_UPS:], strict=True)
    return ColdStart(
        runs=len(walls),
        import_ms=median_interval(imports),
        load_ms=median_interval(loads),
        first_event_ms=median_interval(events),
        process_ms=median_interval(walls),
        peak_rss_mib=max(peaks),
    )
