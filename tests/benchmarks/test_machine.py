"""The fingerprint tells what the machine tells, and nothing more."""

import dataclasses
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from acula_edge.errors import MissingDependencyError
from benchmarks.machine import Watch, busy, fingerprint, rss_mib, throttles

ROOT = Path(__file__).parents[2]
INTEL = (
    "processor : 0\nmodel name : Test CPU 3000\ncpu MHz : 2400.5\nflags : fpu avx2 fma nonsense\n"
)
ARM = "processor : 0\nFeatures : fp asimd asimddp\nHardware : BCM2711\nModel : Board 4\n"


def tree(root, files):
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def test_an_empty_tree_leaves_blanks(tmp_path):
    found = fingerprint(tmp_path)
    assert found.flags == ()
    for blank in ("governor", "clock_mhz", "clock_limit_mhz", "power", "container",
                  "temperature_c", "gpu"):  # fmt: skip
        assert getattr(found, blank) is None
    assert found.threads >= 1
    assert found.ram_mib > 16


def test_a_laptop_is_read(tmp_path):
    supply, clock = "sys/class/power_supply", "sys/devices/system/cpu/cpu0/cpufreq"
    tree(
        tmp_path,
        {
            "proc/cpuinfo": INTEL,
            "etc/os-release": 'NAME=x\nPRETTY_NAME="Test OS 1"\n',
            f"{supply}/BAT0/type": "Battery\n",
            f"{supply}/BAT0/status": "Discharging\n",
            f"{supply}/AC/type": "Mains\n",
            f"{supply}/AC/online": "0\n",
            f"{clock}/scaling_governor": "powersave\n",
            f"{clock}/scaling_cur_freq": "1200000\n",
            f"{clock}/cpuinfo_max_freq": "3000000\n",
            "sys/class/thermal/thermal_zone0/type": "iwlwifi_1\n",
            "sys/class/thermal/thermal_zone0/temp": "99000\n",
            "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
            "sys/class/thermal/thermal_zone1/temp": "61500\n",
            "proc/driver/nvidia/gpus/0/information": "Model: \t Test GPU\nIRQ: 1\n",
            "proc/1/cgroup": "0::/system.slice/docker-12.scope\n",
        },
    )
    found = fingerprint(tmp_path)
    assert found.cpu == "Test CPU 3000"
    assert found.flags == ("avx2", "fma")
    assert (found.governor, found.clock_mhz, found.clock_limit_mhz) == ("powersave", 1200, 3000)
    assert found.power == "battery"
    assert found.temperature_c == 61.5
    assert found.gpu == "Test GPU"
    assert found.container == "docker"
    assert found.system.startswith("Test OS 1, ")


def test_a_board_is_read(tmp_path):
    tree(tmp_path, {"proc/cpuinfo": ARM, "sys/class/power_supply/usb/type": "USB"})
    found = fingerprint(tmp_path)
    assert found.cpu == "Board 4"
    assert found.flags == ("asimd", "asimddp")
    assert found.clock_mhz is None
    assert found.power is None


def test_what_may_not_be_read_is_blank(tmp_path):
    tree(tmp_path, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "<unknown>\n"})
    assert fingerprint(tmp_path).clock_mhz is None


@pytest.fixture
def calm(tmp_path):
    return dataclasses.replace(
        fingerprint(tmp_path), threads=4, load=(0.1, 2.0, 2.0), governor="performance",
        power="mains", temperature_c=50.0, clock_mhz=2900.0, clock_limit_mhz=3000.0,
    )  # fmt: skip


def test_a_calm_machine_compares(calm):
    assert busy(calm) == ()
    blank = dataclasses.replace(calm, load=None, governor=None, power=None, temperature_c=None)
    assert busy(blank) == ()


@pytest.mark.parametrize(
    ("change", "why"),
    [({"load": (1.5, 0.0, 0.0)}, "load average 1.5 on 4"), ({"governor": "ondemand"}, "ondemand"),
     ({"power": "battery"}, "battery"), ({"temperature_c": 95.0}, "95 °C"),
     ({"clock_mhz": 1500.0}, "1500 of 3000 MHz")],
)  # fmt: skip
def test_each_disturbance_is_named(calm, change, why):
    (reason,) = busy(dataclasses.replace(calm, **change))
    assert why in reason


Times = namedtuple("Times", "user system idle iowait guest")
Own = namedtuple("Own", "user system children_user children_system")


class FakePsutil:
    def __init__(self):
        self.everyone, self.own = Times(100, 10, 200, 5, 50), Own(1, 1, 0, 0)

    def cpu_count(self):
        return 4

    def cpu_times(self):
        return self.everyone

    def Process(self):  # noqa: N802
        return SimpleNamespace(cpu_times=lambda: self.own)


def test_others_are_told_from_ourselves(tmp_path):
    psutil = FakePsutil()
    watch = Watch(tmp_path, psutil)
    assert watch.others() is None
    # 10 s on 4 threads: 8 s busy of 40, 6 of them ours and our children's
    psutil.everyone, psutil.own = Times(107, 11, 232, 5, 50), Own(3, 2, 2, 1)
    assert watch.others() == pytest.approx(0.2)
    assert watch.reasons() == ()
    psutil.everyone = Times(127, 11, 212, 5, 50)
    assert watch.others() == pytest.approx(2.2)
    (reason,) = watch.reasons()
    assert "2.2 of 4 threads" in reason


def test_throttling_during_the_run_is_told(tmp_path):
    assert throttles(tmp_path) is None
    counter = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    tree(tmp_path, {counter: "3\n", "sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 2\n"})
    assert throttles(tmp_path) == 5
    watch = Watch(tmp_path, FakePsutil())
    assert watch.reasons() == ()
    tree(tmp_path, {counter: "4\n"})
    assert watch.reasons() == ("the processor was throttled during the run",)


def test_memory_is_that_of_this_process():
    # In a process that does nothing else: this one's threads and caches move by themselves.
    grown = (
        "from benchmarks.machine import rss_mib; before = rss_mib();"
        " kept = bytearray(b'x') * 2**26; print(rss_mib() - before)"
    )
    command = [sys.executable, "-c", grown]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert 50 < float(said.stdout) < 100
    assert 10 < rss_mib() < 1e5


def test_without_psutil_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingDependencyError, match="psutil"):
        rss_mib()
