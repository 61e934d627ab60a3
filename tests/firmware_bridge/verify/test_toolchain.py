"""A missing tool is one sentence with the apt line."""

import pytest

from acula_edge.errors import BundleError, MissingDependencyError, UsageError
from firmware_bridge.verify import toolchain
from firmware_bridge.verify.cores import CORE_NAMES, DEFAULT_CORES, core_named


def test_without_a_host_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingDependencyError, match=r"apt-get install gcc$"):
        toolchain.host_compilers()


def test_without_the_arm_tools(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingDependencyError, match=r"arm-none-eabi-gcc .*apt-get install"):
        toolchain.arm_tools()


def test_without_newlib(monkeypatch, tmp_path):
    for name in ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"):
        tool = tmp_path / name
        tool.write_text("#!/bin/sh\necho nano.specs\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: str(tmp_path / name))
    with pytest.raises(MissingDependencyError, match="newlib"):
        toolchain.arm_tools()


def test_a_failing_command_says_its_first_complaint(tmp_path):
    with pytest.raises(BundleError, match=r"sh failed \(4\): an error here"):
        toolchain.execute(
            ["/bin/sh", "-c", "echo note >&2; echo an error here >&2; exit 4"], tmp_path
        )


def test_a_command_that_hangs_is_ended(tmp_path):
    with pytest.raises(BundleError, match="did not end within 0 s"):
        toolchain.execute(["/bin/sh", "-c", "exec sleep 5"], tmp_path, seconds=0.1)


def test_cores_by_name():
    assert [core_named(name).name for name in CORE_NAMES[1:]] == list(CORE_NAMES[1:])
    assert set(DEFAULT_CORES) < set(CORE_NAMES)
    with pytest.raises(UsageError, match="'m33'; choose from host, m4, m7, m55"):
        core_named("m33")
