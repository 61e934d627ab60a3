"""Each target's folder is built by its own build system, or by a small stand-in for it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mcu_bundle import mcu_bundle, mcu_pcm

from acula_edge.errors import UsageError
from firmware_bridge.emit.tables import model_header, model_source
from firmware_bridge.emit.targets import TARGETS, placed, target_files, three_numbers
from firmware_bridge.model import McuModel, read_model
from firmware_bridge.reference import Reference

PACKAGE = Path(__file__).parents[2] / "firmware_bridge"
HOPS = 24
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
CORTEX_M4 = ("-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
ARM_APT = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"

# Plays standard input to the program of the README and prints a line per hop, then the exam.
HARNESS = r"""
#include <acula.h>
#include <stdio.h>

acula_status listen(acula_exam *exam);
size_t microphone_read(int16_t *pcm, size_t room, uint32_t *lost);
void show(const acula_result *hop);

size_t microphone_read(int16_t *pcm, size_t room, uint32_t *lost) {
    (void)lost;
    return fread(pcm, sizeof *pcm, room, stdin);
}

void show(const acula_result *hop) {
    for (int k = 0; k < ACULA_FINDINGS; k++) {
        printf("%a %.17g ", (double)hop->scores[k], hop->probability[k]);
    }
    printf("%d\n", hop->quality);
}

int main(void) {
    acula_exam exam;
    if (listen(&exam) != ACULA_OK) {
        return 1;
    }
    printf("exam %u %u\n", exam.evidence_hops, exam.refused_hops);
    return 0;
}
"""

CONSUMER = """
cmake_minimum_required(VERSION 3.13)
project(consumer C)
add_subdirectory(OUT)
add_executable(listen listen.c harness.c)
target_link_libraries(listen PRIVATE acula)
"""

# The part of Zephyr's CMake that the module calls.
ZEPHYR = """
cmake_minimum_required(VERSION 3.13)
project(stand_in C)
add_library(zephyr_interface INTERFACE)
function(zephyr_library_named name)
  add_library(${name} STATIC)
  target_link_libraries(${name} PRIVATE zephyr_interface)
endfunction()
function(zephyr_library_sources)
  target_sources(acula PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(acula PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_definitions)
  target_compile_definitions(acula PRIVATE ${ARGN})
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGN})
endfunction()
set(CONFIG_ACULA y)
set(CONFIG_ACULA_LINK y)
set(CONFIG_ACULA_ROUNDING_SINGLE y)
add_subdirectory(OUT/zephyr)
"""

# The part of ESP-IDF's CMake that the component calls.
ESP_IDF = """
cmake_minimum_required(VERSION 3.13)
project(stand_in C)
macro(idf_component_register)
  cmake_parse_arguments(ARG "" "" "SRCS;INCLUDE_DIRS;PRIV_INCLUDE_DIRS" ${ARGN})
  set(COMPONENT_LIB __idf_acula)
  add_library(${COMPONENT_LIB} STATIC ${ARG_SRCS})
  target_include_directories(
    ${COMPONENT_LIB} PUBLIC ${ARG_INCLUDE_DIRS} PRIVATE ${ARG_PRIV_INCLUDE_DIRS})
endmacro()
set(CONFIG_ACULA_ROUNDING_DOUBLE y)
add_subdirectory(OUT)
"""

# The part of Arduino's API that the sketch uses, on standard input and output.
ARDUINO = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
struct SerialPort {
  void begin(long) {}
  explicit operator bool() const { return true; }
  bool operator!() const { return false; }
  int available() {
    if (!feof(stdin)) {
      const int next = getc(stdin);
      if (next != EOF) { ungetc(next, stdin); return 2; }
    }
    exit(0);
  }
  int read() { return getc(stdin); }
  void print(unsigned long value) { printf("%lu", value); }
  void print(uint32_t value) { printf("%u", value); }
  void print(char value) { putchar(value); }
  void print(const char *value) { fputs(value, stdout); }
  void print(double value, int digits) { printf("%.*f", digits, value); }
  void println(const char *value) { puts(value); }
} Serial;
void setup();
void loop();
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> McuModel:
    return read_model(mcu_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    return mcu_pcm(HOPS, seed=3)


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def packed(model: McuModel, target: str, root: Path) -> Path:
    """The code of an exported folder at `root`/OUT, laid out for the target."""
    common = {
        "include/acula_model.h": model_header(model).encode(),
        "src/acula_model.c": model_source(model).encode(),
    }
    for path in (PACKAGE / "c").iterdir():
        folder = "include" if path.name == "acula.h" else "src"
        common[f"{folder}/{path.name}"] = path.read_bytes()
    for path in (PACKAGE / "link" / "c").iterdir():
        common[f"link/{path.name}"] = path.read_bytes()
    write(root / "OUT", {**placed(common, target), **target_files(model, target)})
    return root / "OUT"


def run(*command: str | Path, cwd: Path, given: bytes = b"") -> str:
    words = [*map(str, command)]
    done = subprocess.run(words, cwd=cwd, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


def need(*tools: str, apt: str) -> None:
    if any(shutil.which(tool) is None for tool in tools):
        pytest.skip(apt)


def cmake(source: Path, *options: str) -> Path:
    """Configure and build `source`; the build folder."""
    need("cmake", "gcc", apt="apt-get install cmake gcc make")
    build = source / "build"
    run("cmake", "-S", source, "-B", build, *options, cwd=source)
    run("cmake", "--build", build, cwd=source)
    return build


def readme_program() -> str:
    text = (PACKAGE / "README.md").read_text("utf-8")
    return re.findall(r"```c\n(.*?)```", text, re.DOTALL)[0]


@pytest.mark.parametrize("act", [target_files, lambda m, t: placed({}, t)])
def test_an_unknown_target_is_refused_with_the_known_ones(model: McuModel, act: object) -> None:
    known = "generic, zephyr, arduino, esp-idf"
    with pytest.raises(UsageError, match=f"no firmware target 'mbed': choose {known}"):
        act(model, "mbed")  # type: ignore[operator]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_adds_only_what_is_not_there_yet(model: McuModel, target: str) -> None:
    common = {f"{name}/x.c": b"" for name in ("src", "link", "golden")}
    own = target_files(model, target)
    assert own and not set(own) & set(placed(common, target))
    assert not any("@{" in data.decode() for data in own.values())


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("1.2.3", "1.2.3"), ("2.0", "2.0.0"), ("1.4.0-rc.2+x", "1.4.0"), ("first", "0.0.0")],
)
def test_versions_become_three_numbers(given: str, wanted: str) -> None:
    assert three_numbers(given) == wanted


def test_the_readme_program_in_a_cmake_project_gives_the_references_answers(
    model: McuModel, pcm: np.ndarray, tmp_path: Path
) -> None:
    packed(model, "generic", tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(CONSUMER)
    (tmp_path / "listen.c").write_text(readme_program())
    (tmp_path / "harness.c").write_text(HARNESS)
    build = cmake(tmp_path, f"-DCMAKE_C_FLAGS={' '.join(STRICT)}")
    *hops, exam = run(build / "listen", cwd=tmp_path, given=pcm.tobytes()).splitlines()
    reference = Reference(model)
    wanted = reference.push(pcm)
    assert len(hops) == len(wanted) == HOPS
    for line, hop in zip(hops, wanted, strict=True):
        *numbers, quality = line.split()
        assert [float.fromhex(each) for each in numbers[::2]] == hop.scores.tolist()
        assert [float(each) for each in numbers[1::2]] == hop.probability.tolist()
        assert int(quality) == hop.quality.value
    summary = reference.finish()
    assert exam == f"exam {summary.evidence_hops} {summary.refused_hops}"


def test_generic_builds_for_a_cortex_m4_without_writable_data(
    model: McuModel, tmp_path: Path
) -> None:
    need("arm-none-eabi-gcc", apt=ARM_APT)
    build = cmake(
        packed(model, "generic", tmp_path),
        "-DCMAKE_SYSTEM_NAME=Generic",
        "-DCMAKE_C_COMPILER=arm-none-eabi-gcc",
        "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
        f"-DCMAKE_C_FLAGS={' '.join((*CORTEX_M4, '-O2'))}",
    )
    symbols = run("arm-none-eabi-nm", build / "libacula.a", cwd=tmp_path)
    assert " T acula_push" in symbols
    assert not re.search(r" [BbDdC] ", symbols)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-DACULA_ROUNDING=HALF"], "choose FLOAT, SINGLE or DOUBLE"),
        (["-DACULA_USE_CMSIS_NN=ON"], "set ACULA_ROUNDING to SINGLE or DOUBLE"),
    ],
)
def test_generic_refuses_options_that_cannot_work(
    model: McuModel, options: list[str], sentence: str, tmp_path: Path
) -> None:
    need("cmake", apt="apt-get install cmake gcc make")
    folder = packed(model, "generic", tmp_path)
    command = ["cmake", "-S", folder, "-B", tmp_path / "build", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.split())


def test_zephyr_finds_and_builds_the_module(model: McuModel, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    folder = packed(model, "zephyr", tmp_path)
    module = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert (folder / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (folder / module["build"]["kconfig"]).is_file()
    (tmp_path / "CMakeLists.txt").write_text(ZEPHYR)
    library = cmake(tmp_path) / "OUT" / "zephyr" / "libacula.a"
    symbols = run("nm", library, cwd=tmp_path)
    assert " T acula_push" in symbols and " T acula_link_begin" in symbols


def test_zephyrs_options_depend_on_what_the_sdk_has(model: McuModel, tmp_path: Path) -> None:
    kconfiglib = pytest.importorskip("kconfiglib", reason="pip install kconfiglib")
    folder = packed(model, "zephyr", tmp_path)
    sdk = "config FPU\n\tbool\nconfig CMSIS_NN\n\tbool\n\tdefault y\n"
    parts = "config CMSIS_NN_CONVOLUTION\n\tbool\nconfig CMSIS_DSP\n\tbool\n"
    transform = "config CMSIS_DSP_TRANSFORM\n\tbool\n"
    source = f'source "{folder / "zephyr" / "Kconfig"}"\n'
    (tmp_path / "Kconfig").write_text(sdk + parts + transform + source)
    options = kconfiglib.Kconfig(str(tmp_path / "Kconfig"))
    assert not options.warnings
    symbols = options.syms
    symbols["ACULA"].set_value("y")
    assert symbols["FPU"].str_value == "y"
    assert symbols["ACULA_ROUNDING_FLOAT"].str_value == "y"
    symbols["ACULA_USE_CMSIS_NN"].set_value("y")
    assert symbols["ACULA_USE_CMSIS_NN"].str_value == "n"  # needs a fixed-point rounding
    symbols["ACULA_ROUNDING_DOUBLE"].set_value("y")
    assert symbols["ACULA_USE_CMSIS_NN"].str_value == "y"
    assert symbols["CMSIS_NN_CONVOLUTION"].str_value == "y"


def test_esp_idf_builds_the_component(model: McuModel, tmp_path: Path) -> None:
    folder = packed(model, "esp-idf", tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(ESP_IDF)
    symbols = run("nm", cmake(tmp_path) / "OUT" / "lib__idf_acula.a", cwd=tmp_path)
    assert " T acula_push" in symbols and " T acula_link_begin" in symbols
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    component = yaml.safe_load((folder / "idf_component.yml").read_text())
    assert component["version"] == "1.0.0" and component["license"] == "Apache-2.0"


def test_esp_idfs_menu_has_one_rounding(model: McuModel, tmp_path: Path) -> None:
    kconfiglib = pytest.importorskip("kconfiglib", reason="pip install kconfiglib")
    options = kconfiglib.Kconfig(str(packed(model, "esp-idf", tmp_path) / "Kconfig"))
    symbols = options.syms
    symbols["ACULA_ROUNDING_DOUBLE"].set_value("y")
    chosen = [name for name, each in symbols.items() if each.str_value == "y" and "ACULA" in name]
    assert chosen == ["ACULA_ROUNDING_DOUBLE"]


def test_the_arduino_sketch_prints_the_references_probabilities(
    model: McuModel, pcm: np.ndarray, tmp_path: Path
) -> None:
    need("gcc", "g++", apt="apt-get install g++")
    folder = packed(model, "arduino", tmp_path)
    source = folder / "src"
    sketch = folder / "examples" / "Listen" / "Listen.ino"
    (tmp_path / "main.cpp").write_text(
        f'{ARDUINO}\n#include "{sketch}"\nint main() {{ setup(); for (;;) loop(); }}\n'
    )
    # The IDE's flags: GNU dialects, one include path, no flag of ours.
    run("gcc", "-std=gnu11", "-O1", f"-I{source}", "-c", *source.glob("*.c"), cwd=tmp_path)
    objects = [path.name for path in tmp_path.glob("*.o")]
    flags = ["-std=gnu++11", "-Wall", "-Wextra", "-Werror", f"-I{source}"]
    run("g++", *flags, "main.cpp", *objects, "-o", "listen", cwd=tmp_path)
    lines = run(tmp_path / "listen", cwd=tmp_path, given=pcm.tobytes()).splitlines()
    wanted = []
    for hop in Reference(model).push(pcm):
        parts = [str(hop.hop)]
        for name, value, on in zip(
            (spec.name for spec in model.specs), hop.probability, hop.active, strict=True
        ):
            parts.append(f"{name}={value:.4f}{'*' if on else ''}")
        wanted.append(" ".join(parts) + (" refused" if hop.quality.name == "REFUSE" else ""))
    assert lines == wanted


def test_arduinos_flags_do_not_fuse_multiply_adds(model: McuModel, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", apt=ARM_APT)
    source = packed(model, "arduino", tmp_path) / "src"
    flags = [*CORTEX_M4, "-std=gnu11", "-Os", f"-I{source}", "-S"]
    run("arm-none-eabi-gcc", *flags, *source.glob("acula_[a-z]*.c"), cwd=tmp_path)
    assembly = "".join(path.read_text() for path in tmp_path.glob("*.s"))
    assert "vmul.f32" in assembly
    assert not re.search(r"\bvfn?m[as]\.", assembly)  # vmla rounds the product, vfma does not


def test_arduinos_description_has_what_the_ide_reads(model: McuModel, tmp_path: Path) -> None:
    lines = target_files(model, "arduino")["library.properties"].decode().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    assert properties["name"] == "acula" and properties["version"] == "1.0.0"
    assert (packed(model, "arduino", tmp_path) / "src" / properties["includes"]).is_file()
    needed = {"author", "maintainer", "sentence", "paragraph", "category", "architectures"}
    assert needed <= set(properties)
