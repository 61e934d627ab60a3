"""Two gloo processes under DDP have the gradients of one process with the whole batch."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import two_processes
from torch import Tensor
from torch.multiprocessing import start_processes

from align.training.gather import all_gather_with_grad


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    # A server that has imported PyTorch once; DDP would import the compiler in each process.
    multiprocessing.set_forkserver_preload(["torch", "torch._dynamo"])
    start_processes(two_processes.worker, (folder,), nprocs=2, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        scale = float(gradient.norm())
        assert scale > 1e-6, f"{key} has no gradient to compare"
        assert float((found[key] - gradient).norm()) < 1e-6 * scale, key


@pytest.mark.parametrize("name", two_processes.NAMES)
@pytest.mark.parametrize("cut", two_processes.CUTS)
def test_ddp_gradients_equal_those_of_one_process(ranks, name: str, cut: str) -> None:
    loss, expected = two_processes.one_process(name)
    for results in ranks:
        found_loss, found = results[name, cut, False]
        assert found_loss == pytest.approx(loss, rel=1e-9)
        assert_same(found, expected)


@pytest.mark.parametrize("name", two_processes.NAMES)
def test_cached_ddp_gradients_equal_those_of_one_process(ranks, name: str) -> None:
    loss, expected = two_processes.one_process(name)
    for results in ranks:
        found_loss, found = results[name, "equal", True]
        assert found_loss == pytest.approx(loss, rel=1e-9)
        assert_same(found, expected)


def test_one_process_gathers_itself() -> None:
    rows = torch.ones(3, 2)
    assert all_gather_with_grad(rows) is rows


def test_a_scalar_is_refused() -> None:
    with pytest.raises(ValueError, match="a scalar has no rows"):
        all_gather_with_grad(torch.tensor(1.0))
