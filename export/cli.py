"""`acula-edge export`: a thin shell over the public functions of this package.

Each command imports what it needs: torch takes seconds, and `--help` does not need it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from align.errors import one_sentence

if TYPE_CHECKING:
    from export.recipe import Recipe

app = typer.Typer(
    help="Distil, quantise, measure and write model bundles.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

RecipePath = Annotated[
    Path, typer.Argument(help="A recipe, such as export/recipes/heart-lung.toml.")
]
Data = Annotated[Path, typer.Option(help="Folder that holds the corpora.")]
Size = Annotated[str | None, typer.Option(help="XS, S, M or L of the student family.")]
Run = Annotated[Path | None, typer.Option(help="Folder of the run; default runs/<recipe name>.")]
BundleName = Annotated[str, typer.Argument(help="Shipped bundle, or a path to one.")]


@app.command("distill")
def distill_command(
    recipe: RecipePath,
    data: Data,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Encoder that `align run` saved; without one: the control, labels only."),
    ] = None,
    run: Run = None,
    size: Size = None,
    hold_out: Annotated[
        str, typer.Option(help="PhysioNet 2016 database (a to d) that training never hears.")
    ] = "",
    cache: Annotated[
        Path | None, typer.Option(help="Where teacher outputs are kept; default: beside the run.")
    ] = None,
) -> None:
    """Distil a student from an aligned encoder; called again, it continues where it stopped."""
    with one_sentence():
        from export.distill import distill  # noqa: PLC0415

        settings = _recipe(recipe, size)
        folder = _folder(run, settings)
        distill(settings, data, folder, teacher=teacher, held_out=hold_out, cache=cache)
        typer.echo(f"distilled: {folder}")


@app.command("students")
def students_command(
    recipe: RecipePath,
    runs: Annotated[list[Path], typer.Argument(help="Finished runs of the recipe, in any size.")],
    data: Data,
    original: Annotated[
        list[Path] | None,
        typer.Option(help="A run of `align run`: the aligned encoder's probe, to compare with."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for students.json and students.md.")
    ] = None,
) -> None:
    """Score runs side by side on the test patients: sizes, with and without a teacher."""
    with one_sentence():
        from export.students import compare_runs, students_table, write_students  # noqa: PLC0415

        record = compare_runs(_recipe(recipe, None), runs, original or [], data)
        if out is not None:
            write_students(record, out)
        typer.echo(students_table(record))


@app.command("bundle")
def bundle_command(
    recipe: RecipePath,
    data: Data,
    out: Path,
    run: Run = None,
    size: Size = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Encoder that taught the run: the card says what it heard.")
    ] = None,
    students: Annotated[
        Path | None, typer.Option(help="Record of `export students`, for the card.")
    ] = None,
    cache: Annotated[
        Path, typer.Option(help="Where the language model's embeddings are kept.")
    ] = Path("runs/teacher"),
    firmware: Annotated[
        bool, typer.Option(help="For microcontrollers: mcu-int8 first, and no TensorRT variant.")
    ] = False,
    sign: Annotated[
        Path | None, typer.Option(help="minisign secret key to sign the bundle with.")
    ] = None,
) -> None:
    """Turn a distilled run into a calibrated, measured bundle in the folder OUT."""
    with one_sentence():
        from export.build import Build, build_bundle  # noqa: PLC0415
        from export.card import figures_table  # noqa: PLC0415
        from export.distill import load_student, read_run  # noqa: PLC0415
        from export.sign import sign_bundle  # noqa: PLC0415
        from export.students import read_students  # noqa: PLC0415
        from export.variants import FOR_FIRMWARE, FOR_HOSTS  # noqa: PLC0415

        settings = _recipe(recipe, size)
        folder = _folder(run, settings)
        student, record = load_student(settings, folder), read_run(folder)
        build = Build(
            recipe=settings,
            data_root=data,
            cache=cache,
            held_out=record["held_out"],
            teacher=teacher,
            run=record,
            students={} if students is None else read_students(students),
            variants=FOR_FIRMWARE if firmware else FOR_HOSTS,
        )
        key = None if sign is None else _key(sign)
        bundle = build_bundle(student, build, out)
        if sign is not None:
            sign_bundle(bundle.origin, sign, key)
        typer.echo(figures_table(bundle.manifest))


@app.command("evaluate")
def evaluate_command(
    model: BundleName,
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Score the test patients with every variant, through the path that runs live."""
    with one_sentence():
        from dataclasses import replace  # noqa: PLC0415

        from acula_edge.bundle import load_bundle  # noqa: PLC0415
        from export.card import figures_table  # noqa: PLC0415
        from export.evaluate import evaluate  # noqa: PLC0415

        bundle = load_bundle(model)
        figures: dict[str, Any] = evaluate(bundle, data)
        if as_json:
            sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        else:
            typer.echo(figures_table(replace(bundle.manifest, metrics=figures)))


@app.command("tensorrt")
def tensorrt_command(
    bundle: BundleName,
    variant: Annotated[str, typer.Option(help="The bundle's artefact to build from.")] = "fp32",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16 or int8; default: the variant's own.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of engines; default: $ACULA_TENSORRT_CACHE, or yours."),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Only say what TensorRT would not take.")
    ] = False,
) -> None:
    """Build a TensorRT engine for this GPU; it is kept here and never ships."""
    with one_sentence():
        from export.tensorrt.report import check_and_build  # noqa: PLC0415

        for line in check_and_build(bundle, variant, precision, cache, check_only=check_only):
            typer.echo(line)


@app.command("ort")
def ort_command(
    bundle: BundleName, out: Annotated[Path, typer.Argument(help="Folder for the .ort files.")]
) -> None:
    """Convert a bundle's graphs for ONNX Runtime Mobile."""
    with one_sentence():
        from acula_edge.bundle import load_bundle  # noqa: PLC0415
        from export.mobile import write_ort  # noqa: PLC0415

        for path in write_ort(load_bundle(bundle), out):
            typer.echo(f"{path}: {path.stat().st_size} bytes")


def _recipe(path: Path, size: str | None) -> Recipe:
    from export.recipe import load_recipe, sized  # noqa: PLC0415

    recipe = load_recipe(path)
    return recipe if size is None else sized(recipe, size)


def _folder(run: Path | None, recipe: Recipe) -> Path:
    return run or Path("runs") / recipe.name


def _key(path: Path) -> str | None:
    """The password of an encrypted key, asked for before the work, not after."""
    from export.sign import is_encrypted, read_secret_key  # noqa: PLC0415

    password = typer.prompt("password", hide_input=True) if is_encrypted(path) else None
    read_secret_key(path, password)
    return password
