"""A small paired model whose gradients one process and two processes must agree on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from align.objectives import build_objective, per_corpus
from align.training.gather import all_gather_with_grad
from align.training.gradient_cache import cached_backward

ROWS = 18
WIDTH = 5
# Where the batch is cut in two: in the middle, unequally, and with nothing left for one process.
CUTS = {"equal": 9, "unequal": 12, "empty": 18}
NAMES = ("cka", "per-corpus cka", "infonce", "siglip", "cosine")

Gradients = dict[str, Tensor]


class Pair(nn.Module):
    """Audio and text projections side by side: (n, 2 * WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.audio = nn.Sequential(nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, WIDTH, bias=False))
        self.text = nn.Linear(4, WIDTH, bias=False)  # CKA would give a bias no gradient

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        return torch.cat([self.audio(audio), self.text(text)], dim=1)


def make(name: str) -> tuple[Pair, nn.Module]:
    torch.manual_seed(0)
    return Pair().double(), build_objective(name.removeprefix("per-corpus ")).double()


def batch(rows: slice = slice(None)) -> tuple[Tensor, ...]:
    """audio, text, reports (some equal), corpora (of unequal sizes, not in order)."""
    generator = torch.Generator().manual_seed(1)
    audio = torch.randn(ROWS, 7, generator=generator, dtype=torch.float64)
    text = torch.randn(ROWS, 4, generator=generator, dtype=torch.float64)
    numbers = torch.arange(ROWS)
    text[numbers % 5 == 0] = text[0].clone()
    reports = numbers.where(numbers % 5 != 0, 0)
    return tuple(part[rows] for part in (audio, text, reports, (numbers * 7 % 10) // 4))


def global_loss(name: str, objective: nn.Module, packed: Tensor, ids: list[Tensor]) -> Tensor:
    audio, text = all_gather_with_grad(packed).split(WIDTH, dim=1)
    reports, corpora = (all_gather_with_grad(part) for part in ids)
    if name.startswith("per-corpus"):
        return per_corpus(objective, audio, text, reports, corpora).loss
    return objective(audio, text, reports)


def gradients(model: nn.Module, objective: nn.Module) -> Gradients:
    found = {key: value.grad for key, value in model.named_parameters()}
    found |= {f"objective.{key}": value.grad for key, value in objective.named_parameters()}
    return found


def one_process(name: str) -> tuple[float, Gradients]:
    model, objective = make(name)
    audio, text, *ids = batch()
    loss = global_loss(name, objective, model(audio, text), ids)
    loss.backward()
    return float(loss.detach()), gradients(model, objective)


def worker(rank: int, folder: Path) -> None:
    """Every case under DDP, plain and cached; results in `folder`/rank.pt."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{folder}/meeting", timedelta(seconds=120), rank=rank, world_size=2
    )
    results = {
        (name, cut, cached): _ddp_case(rank, name, CUTS[cut], cached)
        for name in NAMES
        for cut, cached in (("equal", False), ("unequal", False), ("empty", False), ("equal", True))
    }
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


def _ddp_case(rank: int, name: str, cut: int, cached: bool) -> tuple[float, Gradients]:
    model, objective = make(name)
    wrapped = DistributedDataParallel(model)
    audio, text, *ids = batch(slice(cut, None) if rank else slice(0, cut))
    if cached:
        micros = list(zip(audio.split(4), text.split(4), strict=True))
        loss = cached_backward(
            lambda micro: wrapped(*micro),
            micros,
            lambda packed: global_loss(name, objective, packed, ids),
            no_sync=wrapped.no_sync,
        )
    else:
        loss = global_loss(name, objective, wrapped(audio, text), ids)
        loss.backward()
    return float(loss.detach()), gradients(model, objective)
