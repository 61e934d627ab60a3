"""What the student is trained to: labels, and the outputs of an aligned encoder if there is one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from align.objectives import build_objective
from align.objectives.per_corpus import per_corpus
from export.data import UNKNOWN, Batch
from export.recipe import Pooling, Recipe
from export.student import StudentOutput
from export.teacher import TeacherOutputs


def pool(hop_logits: Tensor, pooling: Pooling) -> Tensor:
    """Hop logits (..., H) to a clip's logit (...)."""
    if pooling.kind == "mean":
        return hop_logits.mean(dim=-1)
    if pooling.kind == "logmeanexp":
        sharp = pooling.sharpness
        hops = torch.tensor(float(hop_logits.shape[-1]))
        return (torch.logsumexp(hop_logits * sharp, dim=-1) - hops.log()) / sharp
    raise ValueError(f"unknown pooling {pooling.kind!r}")


def clip_logits(output: StudentOutput, recipe: Recipe) -> Tensor:
    """Pooled logits of every target (B, T)."""
    hops = torch.cat([output.hop_logits, output.auxiliary], dim=1)
    columns = [
        pool(hops[:, index], recipe.pooling[target])
        for index, target in enumerate(recipe.student.targets)
    ]
    return torch.stack(columns, dim=1)


class Teaching(nn.Module):
    """Loss terms of a batch by name. Its only parameters map the trunk to the encoder's space."""

    def __init__(self, recipe: Recipe, teacher: TeacherOutputs | None):
        super().__init__()
        self.recipe, self.teacher = recipe, teacher
        size = 0 if teacher is None else teacher.vectors.shape[1]
        self.to_teacher = nn.Linear(recipe.student.width, size) if size else None
        self.cka = build_objective("cka")

    def unlabelled(self, epoch: int) -> bool:
        """Whether that epoch learns from the encoder's embedding alone."""
        return self.teacher is not None and epoch < self.recipe.distillation.embedding_epochs

    def forward(self, output: StudentOutput, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Weighted terms; their sum is the loss."""
        if self.teacher is None:
            return self._label_terms(output, batch, None)
        embedding = self._embedding_terms(output, batch, self.teacher.vectors[batch.row])
        if self.unlabelled(epoch):
            return embedding
        keep = self.recipe.distillation.keep
        soft = self.teacher.probabilities[batch.row]
        labels = self._label_terms(output, batch, soft)
        return {**labels, **{name: keep * term for name, term in embedding.items()}}

    def _label_terms(
        self, output: StudentOutput, batch: Batch, soft: Tensor | None
    ) -> dict[str, Tensor]:
        """Clip, event-in-time and cardiac-phase losses; unknown labels do not count."""
        settings = self.recipe.training
        findings = output.step_logits.shape[1]
        logits, labels = clip_logits(output, self.recipe), batch.clip_labels
        if soft is not None:
            share = self.recipe.distillation.soft * (soft.isfinite() & (labels != UNKNOWN))
            labels = torch.where(share > 0, labels + share * (soft.nan_to_num() - labels), labels)
        terms = {"clip": _mean_bce(logits, labels)}
        events = _mean_bce(output.step_logits, batch.step_labels[:, :findings])
        terms["event"] = settings.event_weight * events
        if output.phase_logits is not None and (batch.phases != UNKNOWN).any():
            phase = F.cross_entropy(output.phase_logits, batch.phases, ignore_index=UNKNOWN)
            terms["phase"] = settings.phase_weight * phase
        return terms

    def _embedding_terms(
        self, output: StudentOutput, batch: Batch, target: Tensor
    ) -> dict[str, Tensor]:
        assert self.to_teacher is not None
        weights = self.recipe.distillation
        trunk = output.trunk.mean(dim=2)
        cosine = 1 - F.cosine_similarity(self.to_teacher(trunk), target, dim=1).mean()
        cka = per_corpus(self.cka, trunk, target, batch.row, batch.corpus).loss
        return {"cosine": weights.cosine * cosine, "cka": weights.cka * cka}


def _mean_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over targets of each target's mean loss, so that a sparse label weighs as much."""
    known = (labels != UNKNOWN).float()
    losses = F.binary_cross_entropy_with_logits(logits, labels.clamp(min=0.0), reduction="none")
    axes = [axis for axis in range(labels.dim()) if axis != 1]
    counts = known.sum(dim=axes)
    means = (losses * known).sum(dim=axes) / counts.clamp(min=1.0)
    return means.sum() / (counts > 0).sum().clamp(min=1)
