"""PyTorch in the parity report, beside torch.nn.functional."""
# ruff: noqa: D102 (ParityAdapter documents its members)

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from xentropy.parity.adapter import Derivatives, ParityAdapter, weigh_rows
from xentropy.parity.cases import Array, Case
from xentropy.parity.literals import written


class TorchAdapter(ParityAdapter):
    """Tensors on the CPU."""

    version = torch.__version__
    native_name = "torch.nn.functional"
    index_dtype = "int64"

    def asarray(self, values: Array, dtype: str) -> torch.Tensor:
        # A copy, because the shipped arrays are read-only and torch warns of sharing memory with those.
        return torch.from_numpy(np.array(values)).to(getattr(torch, dtype))

    def to_numpy(self, array: torch.Tensor) -> Array:
        wide = array.detach() if array.dtype == torch.float64 else array.detach().to(torch.float32)
        values: Array = wide.numpy()
        return values

    def owns(self, result: Any) -> bool:
        return isinstance(result, torch.Tensor)

    def dtype_name(self, array: torch.Tensor) -> str:
        return str(array.dtype).removeprefix("torch.")

    def derivatives(
        self, loss: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor, direction: torch.Tensor | None = None
    ) -> Derivatives:
        x = logits.detach().requires_grad_()
        value = loss(x)
        twice = direction is not None
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=twice)
        if not twice:
            return Derivatives(value, gradient)
        if not gradient.requires_grad:  # of a loss whose gradient is constant
            return Derivatives(value, gradient, torch.zeros_like(x))
        # Zeros of a gradient that depends on other things alone.
        (curvature,) = torch.autograd.grad(gradient, x, direction, materialize_grads=True)
        return Derivatives(value, gradient, curvature)

    def own_loss(self, case: Case) -> Callable[[torch.Tensor], torch.Tensor] | None:
        rows = self._binary(case) if case.binary else self._categorical(case)
        if rows is None:
            return None
        weights = self.asarray(weigh_rows(case), case.wide_dtype)
        return lambda logits: (loss := rows(logits)) * weights.to(loss.dtype)

    def _categorical(self, case: Case) -> Callable[..., torch.Tensor] | None:
        if not case.from_logits:
            return None
        targets = self.asarray(case.targets, case.dtype if case.soft else self.index_dtype)
        options: dict[str, Any] = {"label_smoothing": case.label_smoothing, "reduction": "none"}
        if case.ignore_index is not None:
            options["ignore_index"] = case.ignore_index
        if case.class_weight is not None:
            options["weight"] = self.asarray(case.class_weight, case.dtype)
        return partial(functional.cross_entropy, target=targets, **options)

    def _binary(self, case: Case) -> Callable[..., torch.Tensor] | None:
        if case.label_smoothing:
            return None
        targets = self.asarray(case.targets, case.dtype)
        if not case.from_logits:
            return partial(functional.binary_cross_entropy, target=targets, reduction="none")
        positive = None if case.pos_weight is None else self.asarray(case.pos_weight, case.dtype)
        own = functional.binary_cross_entropy_with_logits
        return partial(own, target=targets, pos_weight=positive, reduction="none")

    def imports(self, dtype: str) -> str:
        return "import torch"

    def literal(self, values: Array, dtype: str) -> str:
        return f"torch.tensor({written(values)}, dtype=torch.{dtype})"

    def listed(self, array: str) -> str:
        return f"{array}.tolist()"

    def native_source(self, case: Case) -> str | None:
        call = _binary_source(case) if case.binary else _categorical_source(case)
        if call is None:
            return None
        lines = ["from torch.nn import functional", "", "logits.requires_grad_()", f"loss = {call}"]
        if case.sample_weight is not None:
            lines.append("loss = loss * sample_weight.to(loss.dtype)")
        return "\n".join([*lines, "(gradient,) = torch.autograd.grad(loss.sum(), logits)"])


def _categorical_source(case: Case) -> str | None:
    if not case.from_logits:
        return None
    options = ["logits", "targets" if case.soft else "targets.long()"]
    if case.class_weight is not None:
        options.append("weight=class_weight.to(logits.dtype)")
    if case.ignore_index is not None:
        options.append(f"ignore_index={case.ignore_index}")
    if case.label_smoothing:
        options.append(f"label_smoothing={case.label_smoothing!r}")
    return f'functional.cross_entropy({", ".join(options)}, reduction="none")'


def _binary_source(case: Case) -> str | None:
    if case.label_smoothing:
        return None
    if not case.from_logits:
        return 'functional.binary_cross_entropy(logits, targets, reduction="none")'
    positive = "" if case.pos_weight is None else "pos_weight=pos_weight.to(logits.dtype), "
    return f'functional.binary_cross_entropy_with_logits(logits, targets, {positive}reduction="none")'


adapter = TorchAdapter()
