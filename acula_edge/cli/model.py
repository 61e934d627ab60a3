"""`acula-edge model`: look at model bundles, verify them, and add text prompts."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acula_edge.errors import MissingDependencyError

if TYPE_CHECKING:
    from rich.table import Table

    from acula_edge.bundle import Bundle, Manifest

app = typer.Typer(
    help="Look at model bundles, verify them, and add text prompts.", no_args_is_help=True
)

HEADLINE = ("auroc", "f1", "difference")
DEFAULT_BUNDLE = "heart-lung"
BundleArgument = Annotated[
    str, typer.Argument(help="A bundle folder, a .zip of one, or the name of a shipped bundle.")
]


@app.command()
def info(
    bundle: BundleArgument = DEFAULT_BUNDLE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Show what a bundle finds, its thresholds, its files, its data and how well it does."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415

    loaded = load_bundle(bundle)
    if as_json:
        typer.echo(json.dumps(_facts(loaded), indent=2, ensure_ascii=False))
        return
    from rich.console import Console  # noqa: PLC0415

    manifest, console = loaded.manifest, Console()
    console.print(f"{manifest.name} {manifest.version}", style="bold", markup=False)
    console.print(_summary(loaded), markup=False, highlight=False)
    for table in _tables(loaded):
        console.print(table)
    console.print(manifest.notice, style="bold", markup=False)


@app.command()
def verify(
    bundle: BundleArgument = DEFAULT_BUNDLE,
    key: Annotated[
        str | None,
        typer.Option(help="Minisign public key (file or text) that must have signed the bundle."),
    ] = None,
) -> None:
    """Check hashes, signature, graphs and golden scores; exits with 4 at the first failure."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415

    loaded = load_bundle(bundle, trusted_key=key)
    typer.echo(f"OK: {len(loaded.files)} files match SHA256SUMS (digest {loaded.digest[:16]})")
    typer.echo("OK: signature by the trusted key" if key else "skipped: signature (no --key given)")
    for variant in loaded.manifest.variants:
        for role in loaded.roles(variant):
            loaded.graph(variant, role)
            typer.echo(f"OK: {variant} {role} graph is safe and keeps its contract")
    from acula_edge.bundle.golden import verify_golden  # noqa: PLC0415

    for line in verify_golden(loaded):
        typer.echo(line)


@app.command()
def prompt(
    bundle: Annotated[str, typer.Argument(help="A bundle with a text space: name or path.")],
    texts: Annotated[list[str], typer.Argument(help="What to listen for, in words.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Name of a prompt; one for each text, in order.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="heart or lung; default: both.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Contrast: its similarity is taken off every prompt's.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="A folder with the bundle's language model; default: by its name."),
    ] = None,
) -> None:
    """Add zero-shot findings by text: research, scored by similarity, never a decision."""
    from acula_edge.bundle import load_bundle  # noqa: PLC0415
    from acula_edge.text import text_space  # noqa: PLC0415

    loaded = load_bundle(bundle)
    text_space(loaded)
    tool = _prompt_module()
    wanted = tool.Wanted(texts=texts, names=name or (), site=site, against=against)
    made = tool.run(loaded, wanted, out, teacher)
    for one in made.manifest.text.prompts[-len(texts) :]:
        typer.echo(f"added {one.name}: {one.text}")
    typer.echo(f"wrote {out} (digest {made.digest[:16]}, not signed). Research only: no threshold")


@app.command("list")
def list_bundles() -> None:
    """List the bundles that ship with this package."""
    from acula_edge.bundle import shipped_bundles  # noqa: PLC0415

    for name in shipped_bundles():
        typer.echo(name)


def _prompt_module() -> Any:
    """`export.prompt`, found by name: the runtime imports none of the toolkit's packages."""
    try:
        return import_module("export.prompt")
    except ImportError as error:
        raise MissingDependencyError(
            f"'acula-edge model prompt' needs {error.name}: pip install 'acula-edge[align]'"
        ) from None


def _facts(bundle: Bundle) -> dict[str, Any]:
    from acula_edge.bundle.manifest import manifest_json  # noqa: PLC0415

    return {
        "origin": str(bundle.origin),
        "digest": bundle.digest,
        "files": {name: len(data) for name, data in sorted(bundle.files.items())},
        "manifest": manifest_json(bundle.manifest),
    }


def _summary(bundle: Bundle) -> str:
    manifest = bundle.manifest
    hop, window = manifest.hop / manifest.rate, manifest.window / manifest.rate
    return (
        f"{manifest.intended_use}\n"
        f"Licence {manifest.licence}; {manifest.rate} Hz, hop {hop:g} s, window {window:g} s; "
        f"an exam needs {manifest.minimum_evidence:g} s of usable sound\n"
        f"{bundle.origin} (digest {bundle.digest[:16]})"
    )


def _tables(bundle: Bundle) -> list[Table]:
    manifest = bundle.manifest
    return [
        _table("Findings", ("name", "site", "positive means", "present", "absent", "on/off"), [
            (f.name, f.site, f.definition, f"≥ {f.present:g}", f"< {f.absent:g}",
             f"{f.enter:g}/{f.leave:g}")
            for f in manifest.findings
        ]),
        _table("Variants", ("name", "precision", "providers", "stream", "window"), [
            (name, v.precision, ", ".join(v.providers), *_sizes(bundle, name))
            for name, v in manifest.variants.items()
        ]),
        _table("Training data", ("corpus", "licence", "patients", "recordings", "split"), [
            (d.corpus, d.licence, "unknown" if d.patients is None else str(d.patients),
             str(d.recordings), d.split)
            for d in manifest.training_data
        ]),
        _table("Metrics", ("metric", "value"), _headline(manifest)),
        *_text_tables(manifest),
    ]  # fmt: skip


def _text_tables(manifest: Manifest) -> list[Table]:
    if manifest.text is None or not manifest.text.prompts:
        return []
    rows: list[tuple[str, ...]] = [
        (p.name, p.site or "any", p.text, "-" if p.against is None else p.against.text)
        for p in manifest.text.prompts
    ]
    columns = ("name", "site", "text", "against")
    return [_table("Text prompts (research: a similarity, no decision)", columns, rows)]


def _sizes(bundle: Bundle, variant: str) -> tuple[str, str]:
    found = bundle.manifest.variants[variant]
    graphs = (found.stream, found.window)
    stream, window = (
        "-" if graph is None else f"{len(bundle.files[graph.file]) / 1e6:.2f} MB"
        for graph in graphs
    )
    return stream, window


def _headline(manifest: Manifest) -> list[tuple[str, ...]]:
    """The estimates that sum a bundle up, as dotted keys; the rest is in the card."""

    def estimates(value: Any, at: str) -> list[tuple[str, ...]]:
        if at.rpartition(".")[2] in HEADLINE and value is not None:
            return [(at, _estimate(value))]
        if not isinstance(value, dict):
            return []
        return [row for k, v in value.items() for row in estimates(v, f"{at}.{k}" if at else k)]

    shown = {k: v for k, v in manifest.metrics.items() if k not in ("validation", "subgroups")}
    return estimates(shown, "")


def _estimate(value: Any) -> str:
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return json.dumps(value)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, since a manifest is not ours and square brackets would be taken for markup.
        table.add_row(*(Text(cell) for cell in row))
    return table
