"""Quantisation-aware fine-tuning: the student learns with the rounding that its int8 graph will do.

torchao's PT2E flow with a quantiser of our own, so that the rounding is a flavour's and lies where
`export.quantise` puts it:

1. Batch norms are folded, and the trunk and heads captured by `torch.export`; the front end stays
   outside, float, as it does in every flavour.
2. `prepare_qat_pt2e` puts fake quantisation before each trunk convolution, on its weight, and after
   its ReLU. Ranges are minima and maxima seen (no histogram, which keeps every activation).
3. After training, `convert_pt2e` must give quantise/dequantise pairs for every block; then weights
   and ranges come back, and the same exporter as ever writes the graph: one path to the device.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import (
    FakeQuantize,
    MinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

from export.onnx_parts import folded
from export.quantise import CPU, Flavour, QuantiseError, Range, TrunkRanges, measure_scales
from export.student import Student, StudentOutput

Target = TypeVar("Target")
Loss = Callable[[StudentOutput, Target], Tensor]
WEIGHT = "student.blocks.{}.conv.weight"


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned student (batch norms folded), the ranges it learned with, the loss per step."""

    student: Student
    ranges: TrunkRanges
    losses: tuple[float, ...]


def quantisation_aware(
    student: Student,
    batches: Iterable[tuple[Tensor, Target]],
    loss: Loss[Target],
    *,
    flavour: Flavour = CPU,
    learning_rate: float = 1e-4,
) -> Tuned:
    """Fine-tune for as many steps as there are batches.

    Args:
        student: a trained student; not changed.
        batches: (pcm (B, n), target), all of one shape, n a multiple of the hop.
        loss: of the student's output (its `state` is empty) and the target; a scalar.
        flavour: whose rounding to learn.
        learning_rate: of Adam.

    Raises:
        QuantiseError: no batch, batches of several shapes, a loss that is not finite, or a
            conversion that left a block float.
    """
    base = folded(student)
    prepared: GraphModule | None = None
    losses: list[float] = []
    pcm = torch.empty(0)
    for pcm, target in batches:
        features = _features(base, pcm)
        if prepared is None:
            prepared, shape = prepare(base, features, flavour), pcm.shape
            optimiser = torch.optim.Adam(prepared.parameters(), learning_rate)
        if pcm.shape != shape:
            raise QuantiseError(f"batches must have one shape, not {shape} and {pcm.shape}")
        value = loss(_output(prepared(features)), target)
        if not torch.isfinite(value):
            raise QuantiseError(f"the loss of step {len(losses)} is {value.item()}")
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(value.item())
    if prepared is None:
        raise QuantiseError("quantisation-aware training needs at least one batch")
    converted(prepared, len(base.blocks))
    tuned = _with_weights(base, prepared)
    return Tuned(tuned, _ranges(prepared, measure_scales(tuned, [pcm])), tuple(losses))


def prepare(student: Student, features: Tensor, flavour: Flavour) -> GraphModule:
    """The trunk and heads of a folded student with fake quantisation, for one shape of features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(_Trunk(student), (features,))
        prepared: GraphModule = prepare_qat_pt2e(program.module(), _TrunkQuantizer(flavour))
    return prepared


def converted(prepared: GraphModule, blocks: int) -> GraphModule:
    """PT2E's own int8 form of a prepared module, in torch.

    Raises:
        QuantiseError: a block stayed float.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: GraphModule = convert_pt2e(copy.deepcopy(prepared))
    quantised = [
        node
        for node in module.graph.nodes
        if node.target is torch.ops.aten.conv1d.default
        and all("dequantize" in str(source.target) for source in node.args[:2])
    ]
    if len(quantised) != blocks:
        raise QuantiseError(f"PT2E quantised {len(quantised)} of {blocks} blocks")
    return module


class _Trunk(nn.Module):
    """(B, channels, frames) features -> the student's output as a tuple, from the zero state."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, features: Tensor) -> tuple[Tensor | None, ...]:
        histories = [part.to(features) for part in self.student.zero_parts(features.shape[0])[3:]]
        output = self.student.from_features(features, histories, [])
        return tuple(getattr(output, item.name) for item in fields(StudentOutput))


def _output(values: tuple[Any, ...]) -> StudentOutput:
    return StudentOutput(*values)


@torch.no_grad()
def _features(student: Student, pcm: Tensor) -> Tensor:
    features: Tensor = student.front_end(pcm, student.zero_parts(len(pcm))[:3])[0]
    return features


class _TrunkQuantizer(Quantizer):  # type: ignore[misc]
    """Annotates the trunk's convolutions the way a flavour quantises them."""

    def __init__(self, flavour: Flavour):
        self.flavour = flavour
        symmetric, affine = torch.per_tensor_symmetric, torch.per_tensor_affine
        self.activation = QuantizationSpec(
            dtype=torch.uint8 if flavour.low == 0 else torch.int8,
            observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=MinMaxObserver),
            quant_min=flavour.low,
            quant_max=flavour.high,
            qscheme=symmetric if flavour.symmetric else affine,
        )
        per_channel = MovingAveragePerChannelMinMaxObserver.with_args(averaging_constant=1.0)
        self.weight = QuantizationSpec(
            dtype=torch.int8,
            observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=per_channel),
            quant_min=-flavour.weight_limit,
            quant_max=flavour.weight_limit,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
        )

    def annotate(self, model: GraphModule) -> GraphModule:
        """Mark each trunk convolution and its ReLU."""
        for conv, relu in _trunk_nodes(model):
            x, weight = conv.args[0], conv.args[1]
            _annotate(conv, QuantizationAnnotation({x: self.activation, weight: self.weight}))
            if self.flavour.outputs:
                _annotate(relu, QuantizationAnnotation(output_qspec=self.activation))
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to refuse: what stayed float shows after conversion."""


def _annotate(node: Node, annotation: QuantizationAnnotation) -> None:
    annotation._annotated = True
    node.meta["quantization_annotation"] = annotation


def _trunk_nodes(model: GraphModule) -> list[tuple[Node, Node]]:
    """Each block's convolution and ReLU, in order."""
    found = []
    for node in model.graph.nodes:
        if node.target is torch.ops.aten.conv1d.default and _is_trunk(node.args[1]):
            found.append((node, next(iter(node.users))))
    return found


def _is_trunk(weight: Node) -> bool:
    while weight.op != "get_attr":  # through a fake quantisation
        weight = weight.all_input_nodes[0]
    return str(weight.target).startswith("student.blocks.")


def _with_weights(base: Student, prepared: GraphModule) -> Student:
    trained = {
        name.removeprefix("student."): value.detach() for name, value in prepared.named_parameters()
    }
    expected = {name for name, _ in base.named_parameters()}
    if expected - set(trained):
        raise QuantiseError(f"PT2E lost the parameter {min(expected - set(trained))!r}")
    tuned = copy.deepcopy(base)
    tuned.load_state_dict(trained, strict=False)
    return tuned


def _ranges(prepared: GraphModule, measured: TrunkRanges) -> TrunkRanges:
    """The ranges trained with; `measured` where the flavour has no fake quantisation."""
    inputs, outputs = list(measured.inputs), list(measured.outputs)
    for index, (conv, relu) in enumerate(_trunk_nodes(prepared)):
        inputs[index] = _observed(prepared, conv.args[0], inputs[index])
        users = list(relu.users)
        outputs[index] = _observed(prepared, users[0], outputs[index])
    return TrunkRanges(tuple(inputs), tuple(outputs), measured.last)


def _observed(prepared: GraphModule, node: Any, otherwise: Range) -> Range:
    if node.op != "call_module":
        return otherwise
    observer: Any = prepared.get_submodule(str(node.target)).activation_post_process
    return Range(float(observer.min_val), float(observer.max_val))
