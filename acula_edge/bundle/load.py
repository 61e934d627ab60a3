"""Loads a model bundle; refuses what is damaged, unsigned, too new or breaks its contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from acula_edge.bundle.contract import Role, check_contract
from acula_edge.bundle.manifest import FILE_NAME, GraphFile, Manifest, parse_manifest
from acula_edge.bundle.onnx_check import check_onnx
from acula_edge.bundle.sign import read_public_key
from acula_edge.bundle.sign import verify as verify_signature
from acula_edge.bundle.store import open_store
from acula_edge.bundle.sums import SIGNATURE, SUMS, check_sums, sha256
from acula_edge.bundle.text_files import check_text_files
from acula_edge.errors import BundleError

CARD = "MODEL_CARD.md"
_SHIPPED = Path(__file__).resolve().parent.parent / "bundles"
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were read once and match their hashes.

    `digest` is the SHA-256 of `SHA256SUMS`: it names this exact bundle. `signed` says that a
    trusted key's signature was verified. `files` holds the verified bytes of every file.
    """

    manifest: Manifest
    origin: Path
    digest: str
    signed: bool
    files: Mapping[str, bytes] = field(repr=False)

    def graph(self, variant: str, role: Role = "stream") -> bytes:
        """The ONNX bytes of that graph, checked for safety and against the contract.

        BundleError if there is no such variant or graph (naming the available ones), or if it
        holds external data or unknown operators, or differs from the manifest.
        """
        try:
            name = self._graph_file(variant, role).file
            check_contract(check_onnx(self.files[name], name), self.manifest, variant, role, name)
        except BundleError as error:
            raise BundleError(f"{self.origin}: {error}") from None
        return self.files[name]

    def roles(self, variant: str) -> tuple[Role, ...]:
        """Which graphs the variant has; BundleError if there is no such variant."""
        window = self.manifest.variant(variant).window
        return ("stream",) if window is None else ("stream", "window")

    def verify(self) -> None:
        """Check every graph of every variant; BundleError at the first that is refused."""
        for variant in self.manifest.variants:
            for role in self.roles(variant):
                self.graph(variant, role)

    def card(self) -> str:
        """The model card (Markdown)."""
        return self.files[CARD].decode("utf-8", errors="replace")

    def golden_input(self) -> bytes | None:
        """Raw float32 little-endian samples at the model rate, or None without golden vectors."""
        golden = self.manifest.golden
        return None if golden is None else self.files[golden.input]

    def _graph_file(self, variant: str, role: Role) -> GraphFile:
        found = self.manifest.variant(variant)
        graph = found.stream if role == "stream" else found.window
        if graph is None:
            raise BundleError(f"{FILE_NAME}: variant '{variant}' has no {role} graph")
        return graph


def load_bundle(path_or_name: str | Path, *, trusted_key: str | Path | None = None) -> Bundle:
    """The bundle in that folder or zip, or the one of that name shipped with the package.

    With `trusted_key` (a minisign public key: file or base64 text) the bundle must be signed by it.
    Every file is read and hashed once; graphs are walked when `Bundle.graph` hands them out.
    BundleError names the file and the reason; MissingDependencyError without `cryptography`.
    """
    path = _locate(path_or_name)
    store = open_store(path)
    files = {name: store.read(name) for name in store.names()}
    return assemble(files, path, trusted_key=trusted_key)


def assemble(
    files: Mapping[str, bytes], origin: Path, *, trusted_key: str | Path | None = None
) -> Bundle:
    """The bundle made of these files, after the same checks as `load_bundle`."""
    key = None if trusted_key is None else read_public_key(trusted_key)
    try:
        sums = check_sums(files)
        if key is not None:
            if SIGNATURE not in files:
                raise BundleError(f"{SIGNATURE} is missing, but a trusted key was given")
            verify_signature(files[SUMS], files[SIGNATURE], key, SIGNATURE)
        for name in (FILE_NAME, CARD):
            if name not in sums:
                raise BundleError(f"{name} is missing")
        manifest = parse_manifest(files[FILE_NAME])
        _check_graph_files(manifest, sums)
        _check_golden(manifest, files)
        check_text_files(manifest, files)
    except BundleError as error:
        raise BundleError(f"{origin}: {error}") from None
    return Bundle(manifest, origin, sha256(files[SUMS]), key is not None, dict(files))


def shipped_bundles() -> list[str]:
    """Names of the bundles that ship with the package, sorted."""
    return sorted(entry.parent.name for entry in _SHIPPED.glob(f"*/{FILE_NAME}"))


def _locate(path_or_name: str | Path) -> Path:
    path, text = Path(path_or_name), str(path_or_name)
    try:
        if path.exists() or "/" in text or "\\" in text:
            return path
    except (OSError, ValueError) as error:
        raise BundleError(f"{text!r}: is no usable path ({error})") from None
    shipped = shipped_bundles()
    if text not in shipped:
        known = ", ".join(shipped) or "none"
        raise BundleError(f"{text}: no such file and no shipped bundle; shipped: {known}")
    return _SHIPPED / text


def _check_graph_files(manifest: Manifest, sums: Mapping[str, str]) -> None:
    for name, variant in manifest.variants.items():
        for graph in filter(None, (variant.stream, variant.window)):
            if graph.file not in sums:
                raise BundleError(f"{graph.file} of variant '{name}' is missing")
            if graph.sha256 != sums[graph.file]:
                raise BundleError(f"{graph.file} does not match its hash in {FILE_NAME}")


def _check_golden(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    golden = manifest.golden
    if golden is None:
        return
    if golden.input not in files:
        raise BundleError(f"{golden.input} (golden input) is missing")
    hops, rest = divmod(len(files[golden.input]), manifest.hop * _FLOAT_BYTES)
    if rest or not 0 < hops <= manifest.hops_per_window:
        raise BundleError(f"{golden.input} is not a whole number of hops within one window")
    for name, rows in golden.scores.items():
        if len(rows) != hops:
            raise BundleError(
                f"{FILE_NAME}: 'golden.scores.{name}' has {len(rows)} rows for {hops} hops"
            )
