"""Which shapes of a model the C code has loops for."""

from __future__ import annotations

from acula_edge.errors import BundleError
from firmware_bridge.model import McuModel


def check_shapes(model: McuModel) -> None:
    """Refuse shapes that the C code has no loop for.

    Raises:
        BundleError: naming the block or head.
    """
    channels, frames = model.front_end.channels, model.frames
    if model.hop % model.front_end.long.step or model.rate != model.front_end.rate:
        raise BundleError("the hop is not a whole number of frames at the model rate")
    for block in model.blocks:
        if block.inputs != channels:
            raise BundleError(f"node {block.name!r}: reads {block.inputs} channels, not {channels}")
        if block.inputs % 4 or block.outputs % 2:
            raise BundleError(f"node {block.name!r}: wants a multiple of 4 inputs and 2 outputs")
        if block.history < 0 or frames % block.stride:
            raise BundleError(f"node {block.name!r}: its stride does not fit the hop")
        if block.residual and (block.inputs != block.outputs or block.stride != 1):
            raise BundleError(f"node {block.name!r}: its residual has another shape")
        channels, frames = block.outputs, frames // block.stride
    wanted = {"findings": len(model.specs), "phases": len(model.manifest.phases)}
    for head in model.heads:
        if head.weight.shape[1] != channels or channels % 4:
            raise BundleError(f"head {head.name!r}: reads another number of channels")
        if head.outputs != wanted.get(head.name, head.outputs):
            raise BundleError(f"head {head.name!r}: does not fit the manifest")
    if bool(model.manifest.phases) != (model.phases is not None):
        raise BundleError("the manifest's phases and the graph's do not fit each other")
    if model.embedding != model.manifest.embedding:
        raise BundleError("the embedding's size is not the manifest's")
