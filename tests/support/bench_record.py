"""A full benchmark record of a model, a machine and patients that do not exist.

Every figure is made up; hashes are one letter over and over, and names say "imaginary".
"""

from dataclasses import replace
from math import exp
from statistics import NormalDist

from benchmarks.record import (
    KIND,
    SCHEMA,
    Accuracy,
    Capacity,
    ColdStart,
    Difference,
    Distribution,
    Flow,
    Group,
    Identity,
    Interval,
    Latency,
    Machine,
    Microcontroller,
    MissingPeer,
    Onset,
    OriginalAccuracy,
    Peer,
    Peers,
    Record,
    Run,
    StudentPoint,
    VariantAccuracy,
)

HOP_STAGES = {"resample": 0.03, "gate": 0.05, "network": 0.13, "decision": 0.02}


def around(value, part=0.05):
    """An interval of `part` of the value to either side."""
    return Interval(value, value * (1 - part), value * (1 + part))


def auroc(value):
    """An interval that narrows towards one, as those of AUROC do."""
    return Interval(value, value - 0.6 * (1 - value) - 0.02, value + 0.5 * (1 - value))


def distribution(median, samples=3000, spread=0.25):
    """A log-normal one; quantiles beyond p90 need samples, as real ones do."""
    normal = NormalDist()

    def at(q):
        return median * exp(spread * normal.inv_cdf(min(max(q, 0.0005), 0.9995)))

    def told(q, needed):
        return around(at(q), 0.03) if samples >= needed else None

    return Distribution(
        samples=samples,
        mean=median * exp(spread**2 / 2),
        p50=around(median, 0.02),
        p90=told(0.90, 36),
        p95=told(0.95, 72),
        p99=told(0.99, 368),
        largest=at(0.9999) * 1.5,
        curve=tuple(round(at(i / 100), 5) for i in range(101)),
    )


def identity(variant="cpu-int8", letter="a"):
    return Identity(
        bundle="imaginary-lung 9.9.9",
        bundle_sha256="b" * 64,
        variant=variant,
        precision="int8" if "int8" in variant else "float32",
        provider="CPUExecutionProvider",
        graph_sha256=letter * 64,
        graph_bytes=345_678 if "int8" in variant else 789_012,
        preprocessing="c" * 64,
        rate=4000,
        hop=768,
        source_rate=44_100,
        block_seconds=0.02,
        runtime="onnxruntime 99.9",
        toolkit="0.0.0",
        commit="d" * 40,
    )


def machine():
    return Machine(
        cpu="Imaginary CPU 9000",
        architecture="x86_64",
        flags=("avx2", "avx512_vnni"),
        cores=2,
        threads=4,
        governor="performance",
        clock_mhz=2000.0,
        clock_limit_mhz=3000.0,
        ram_mib=8192,
        system="Imaginary OS 1",
        python="3.11.9",
        power="mains",
        container=None,
        temperature_c=None,
        load=(0.11, 0.22, 0.33),
        gpu=None,
    )


def flow(scale=1.0, *, paced=False):
    factor = scale * (1.6 if paced else 1.0)
    return Flow(
        seconds=600.0,
        hops=3125,
        hop_ms=distribution(0.25 * factor, 3125, 0.35 if paced else 0.15),
        stages={k: distribution(v * factor, 3125) for k, v in HOP_STAGES.items()},
        cpu_ms_per_second=around(1.23 * factor),
        realtime_factor=0.00123 * factor,
        rss_start_mib=66.0,
        rss_end_mib=66.5,
        rss_slope_mib_per_hour=Interval(0.1, -0.2, 0.4) if paced else None,
        hop_slope_ms_per_hour=Interval(0.0, -0.01, 0.01) if paced else None,
        wakeup_ms=distribution(0.12, 3125, 0.5) if paced else None,
        deadline_misses=0 if paced else None,
        largest_lag_ms=12.3 if paced else None,
        duty_cycle=0.00234 * scale if paced else None,
    )


def latency(scale=1.0):
    return Latency(
        cold=ColdStart(11, around(222.0), around(33.0), around(4.4), around(333.0), 67.8),
        flat=flow(scale),
        paced=flow(scale, paced=True),
        front_end_share=0.31,
        capacity=Capacity(sessions=96, limit=128, seconds=10.0, first_misses=3),
        onset=(
            Onset("murmur", 50, 49, distribution(1234.0, 49, 0.1), distribution(0.4, 49)),
            Onset("wheeze", 50, 0, None, None),
        ),
    )


def group(finding, corpus, value, kind="all", name="all", recordings=333):
    few = recordings < 40
    return Group(
        finding=finding,
        corpus=corpus,
        kind=kind,
        name=name,
        recordings=recordings,
        patients=recordings // 3,
        positive=recordings // 5,
        refused=recordings // 50,
        auroc=None if few else auroc(value),
        auprc=None if few else auroc(value - 0.1),
        sensitivity=around(0.81),
        specificity=around(0.88),
        at_specificity={"0.90": around(0.77), "0.95": around(0.66)},
        ece=around(0.044, 0.3),
        reliability=()
        if kind != "all"
        else tuple((p / 10 + 0.05, (p / 10 + 0.05) ** 1.2, 70.0 - 7 * p) for p in range(10)),
    )


def groups(drop=0.0):
    found = []
    for finding, corpus, full in (
        ("murmur", "circor", 0.955),
        ("crackle", "sprsound", 0.811),
        ("wheeze", "sprsound", 0.888),
        ("murmur", "physionet2016-a", 0.722),
    ):
        value = full - drop
        found.append(group(finding, corpus, value, name=corpus))
        if corpus == "physionet2016-a":
            continue
        for name, shift in (("AV", 0.01), ("MV", -0.02), ("PV", 0.005), ("TV", -0.01)):
            found.append(group(finding, corpus, value + shift, "site", name, 80))
        for name, shift in (("female", 0.01), ("male", -0.01)):
            found.append(group(finding, corpus, value + shift, "sex", name, 160))
        for name, size in (("under 1", 22), ("1 to 5", 99), ("6 to 12", 150), ("13 to 18", 62)):
            found.append(group(finding, corpus, value - 0.03, "age", name, size))
    return tuple(found)


def accuracy():
    return Accuracy(
        split="test",
        recordings=1111,
        patients=222,
        digest="e" * 64,
        looks=9,
        limited_to=None,
        variants=(
            VariantAccuracy(
                "cpu-int8",
                "a" * 64,
                groups(),
                (
                    Difference("murmur", "fp32", 333, Interval(-0.001, -0.003, 0.001), 2, 0.12),
                    Difference("murmur", "original", 333, Interval(0.011, -0.01, 0.03), None, None),
                ),
            ),
            VariantAccuracy("fp32", "f" * 64, groups(0.004), ()),
        ),
        original=OriginalAccuracy(
            "aligned encoder (imaginary, seed 0)",
            250_000,
            {
                "murmur": auroc(0.944),
                "crackle": auroc(0.777),
                "wheeze": auroc(0.822),
                "physionet2016-a": auroc(0.699),
            },
        ),
    )


def peer(name, kind, ratio, *, weights=None, size=None, rss=None, note=""):
    return Peer(
        name=name,
        kind=kind,
        version="1.0",
        licence="Imaginary-1.0",
        parameters=weights,
        bytes=size,
        cpu_ms_per_second=distribution(1.23 * ratio, 20, 0.05),
        ratio=None if kind == "ours" else around(ratio, 0.08),
        graph_ratio=None if kind == "ours" else around(5 * ratio, 0.08),
        pairs=20,
        peak_rss_mib=None if rss is None else 67.8 * rss,
        rss_ratio=rss,
        note=note,
    )


def peers():
    return Peers(
        turns=20,
        rows=(
            peer("imaginary-lung cpu-int8, whole path", "ours", 1.0, size=345_678, rss=1.0),
            replace(
                peer("imaginary-lung cpu-int8, stream graph", "ours", 0.3, size=345_678, rss=0.9),
                ratio=around(0.3),
            ),
            peer("Silero VAD", "streaming", 1.9, weights=462_594, size=2_300_000, rss=1.1),
            peer("webrtcvad", "streaming", 0.11, rss=0.3),
            peer("pymicro-wakeword", "streaming", 1.6, size=60_000, rss=0.6),
            peer("aligned encoder", "original", 7.7, weights=250_000, size=1_000_000, rss=4.0),
            peer(
                "opera-ce",
                "original",
                4.4,
                weights=4_000_000,
                size=16_000_000,
                rss=5.0,
                note="random weights",
            ),
            peer(
                "opera-ct",
                "original",
                55.0,
                weights=27_500_000,
                size=110_000_000,
                rss=7.0,
                note="random weights",
            ),
            peer(
                "opera-gt",
                "original",
                444.0,
                weights=21_300_000,
                size=85_200_000,
                rss=8.0,
                note="random weights",
            ),
            peer(
                "ast",
                "original",
                777.0,
                weights=86_000_000,
                size=344_000_000,
                rss=12.0,
                note="random weights",
            ),
            peer(
                "mobilenetv3-small", "size class", 12.0, weights=2_000_000, size=8_000_000, rss=6.0
            ),
            peer("librosa", "front end", 0.3, rss=2.0),
            peer("torchaudio", "front end", 0.4, rss=4.0),
        ),
        missing=(MissingPeer("openSMILE", "the package opensmile is not installed"),),
    )


def students():
    return tuple(
        StudentPoint(f"imaginary-{size}-{way}", size, weights, macs, way == "taught", auroc(mean))
        for size, weights, macs, base in (
            ("S", 60_000, 4.4e6, 0.82),
            ("M", 170_871, 12.0e6, 0.85),
            ("L", 700_000, 44.0e6, 0.86),
        )
        for way, mean in (("taught", base), ("labels", base - 0.006))
    )


def record(**changes):
    """The whole record, with fields replaced."""
    full = Record(
        schema=SCHEMA,
        kind=KIND,
        created="2001-02-03T04:05:06Z",
        command="acula-edge bench report imaginary-lung --full --data DIR",
        depth="full",
        complete=True,
        busy=(),
        machine=machine(),
        runs=(
            Run(identity(), latency()),
            Run(identity("fp32", "f"), latency(1.7)),
        ),
        accuracy=accuracy(),
        peers=peers(),
        students=students(),
        microcontrollers=(
            Microcontroller("cortex-m4f", 55.5e6, 222_000, 77_000, 1_200, 600, 600),
            Microcontroller("cortex-m55", 4.4e6, 233_000, 88_000, None, 600, 599),
        ),
        notes=("All of this is made up.",),
    )
    return replace(full, **changes)


def bare(**changes):
    """A record that was cut short before anything was measured; its machine tells nothing."""
    unknown = Machine(
        None, "riscv64", (), None, None, None, None, None, None, "Imaginary OS 1", "3.11.9",
        None, None, None, None, None,
    )  # fmt: skip
    return record(
        **{
            "depth": "quick",
            "complete": False,
            "busy": ("load average 4.8 on 2 cores",),
            "machine": unknown,
            "runs": (Run(identity(), None),),
            "accuracy": None,
            "peers": None,
            "students": (),
            "microcontrollers": (),
            "notes": (),
            **changes,
        }
    )
