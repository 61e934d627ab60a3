"""`acula-edge model`: look at model bundles and verify them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from acula_edge.bundle import Bundle, Manifest

app = typer.Typer(help="Look at model bundles and verify them.", no_args_is_help=True)

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


@app.command("list")
def list_bundles() -> None:
    """List the bundles that ship with this package."""
    from acula_edge.bundle import shipped_bundles  # noqa: PLC0415

    for name in shipped_bundles():
        typer.echo(name)


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
    ]  # fmt: skip


def _sizes(bundle: Bundle, variant: str) -> tuple[str, str]:
    found = bundle.manifest.variants[variant]
    graphs = (found.stream, found.window)
    stream, window = (
        "-" if graph is None else f"{len(bundle.files[graph.file]) / 1e6:.2f} MB"
        for graph in graphs
    )
    return stream, window


def _headline(manifest: Manifest) -> list[tuple[str, ...]]:
    """The metrics' leaves as dotted keys; a short list of numbers (an interval) is one leaf."""

    def leaves(value: Any, at: str) -> list[tuple[str, ...]]:
        if isinstance(value, dict):
            return [row for k, v in value.items() for row in leaves(v, f"{at}.{k}" if at else k)]
        return [(at, f"{value:.4g}" if isinstance(value, float) else json.dumps(value))]

    return leaves(dict(manifest.metrics), "")


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
