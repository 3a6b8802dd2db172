"""What a router's energies usually come to, from prompts that are not steered; a router compares a prompt's own with it.

Our addition to AdaSEKA (arXiv 2603.01281): where the vectors of one expert lie near every query, its energy is the largest
for every prompt, and only how far each energy is from its own mean tells prompts apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seka.devices import input_device
from seka.eager import uncompiled, watching
from seka.fingerprint import fingerprint
from seka.locks import lock, steered
from seka.projections import Projection
from seka.prompts import Prompt
from seka.routing import shares
from seka.sites import Site, check_fits, decoder, sites
from seka.tokens import encode


def with_baselines(
    model: nn.Module,
    tokenizer: Any,
    experts: Mapping[str, Projection],
    prompts: Sequence[Prompt],
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Projection]:
    """The same experts, each with its `baseline` (H, R) in every layer, the mean over `prompts`, which weigh alike.

    The prompts are to be like those that will be steered, some of every kind; their marks are not looked at. The experts of
    one `Router` are to be measured on the same ones. progress: called with (prompts done, prompts in all) after each batch.

    ProjectionMismatch for an expert of another model; ValueError for no prompts, for one that does not fit the model's
    context, and when queries are not finite; RuntimeError while the model is steered.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; wanted at least 1")
    if not prompts:
        raise ValueError("no prompts given; wanted some of every kind that will be steered")
    model = uncompiled(model)
    here = fingerprint(model)
    for expert in experts.values():
        expert.check(model, here)
    plain = [Prompt(prompt.text, rendered=prompt.rendered) for prompt in prompts]
    sums: dict[tuple[str, int], Tensor] = {}

    def hook(site: Site) -> Callable[..., None]:
        def add(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            query = site.queries(output)[:, -1].cpu().double()
            for name, expert in experts.items():
                if site.layer in expert.parts:
                    vectors = expert.parts[site.layer].positive.vectors[site.held].double()
                    total = shares(query, vectors[None])[:, 0].sum(0)
                    sums[name, site.layer] = sums.get((name, site.layer), torch.zeros_like(total)) + total

        return add

    for first in range(0, len(plain), batch_size):
        tokens = encode(plain[first : first + batch_size], tokenizer).to(input_device(model))
        check_fits(model, tokens.ids.shape[1])
        with lock(model), torch.no_grad(), watching((site.query, hook(site)) for site in sites(model)):
            if steered(model):
                raise RuntimeError(
                    "this model is being steered, so its queries are not its own; leave the steering first"
                )
            decoder(model)(
                input_ids=tokens.ids, attention_mask=tokens.attention, position_ids=tokens.positions, use_cache=False
            )
        if progress is not None:
            progress(min(first + batch_size, len(plain)), len(plain))
    whole = {site.layer: site.whole for site in sites(model)}

    def based(name: str, expert: Projection) -> Projection:
        mean = {layer: (whole[layer](sums[name, layer], 0) / len(plain)).float().cpu() for layer in expert.layers}
        if not all(bool(row.isfinite().all()) for row in mean.values()):
            raise ValueError("the model's queries hold NaN or infinity; load it in float32 or bfloat16")
        return replace(expert, parts={n: replace(expert.part(n), baseline=row) for n, row in mean.items()})

    return {name: based(name, expert) for name, expert in experts.items()}
