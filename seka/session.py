"""One steered stretch of model calls: hooks, and the window of columns each call computes.

Knows which tokens are marked and when their columns pass; what is added to a key is a `Steering`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seka.calls import Call, Calls
from seka.devices import input_device
from seka.eager import watching
from seka.routing import Router, Routing, weigh
from seka.sites import Site, decoder, sites, text_config
from seka.tokens import Tokens

if TYPE_CHECKING:
    from seka.steering import Steering


@dataclass(eq=False)
class Group:
    """Rows of a batch that share one basis and one router."""

    sites: Sequence[Site]
    basis: Callable[[int], Tensor]
    router: Router | None
    rows: dict[int, Steering] = field(default_factory=dict)
    bases: dict[int, Tensor] = field(default_factory=dict)  # {layer: (held, D, R)} on the device and in the type of use
    alpha: dict[int, Tensor] = field(default_factory=dict)  # {layer: (rows, E, H)} in the order of `rows`


@dataclass(frozen=True)
class _Window:
    """What one call computes of one group's marked tokens.

    index (N,): place in the call's flattened (rows, columns). weights (N,): each token's mark. owner (N,): which of the
    group's rows it is in.
    """

    index: Tensor
    weights: Tensor
    owner: Tensor


class Session:
    """Made by `steer`. `routing` holds the router's coefficients once the prompt has been computed."""

    def __init__(self, model: nn.Module, tokens: Tokens, groups: list[Group]) -> None:
        self.model, self.tokens, self.groups = model, tokens, groups
        self._highlight = tokens.highlight.cpu()
        self._calls = Calls(tokens)
        self._call: Call | None = None
        self._windows: list[_Window | None] = [None] * len(groups)
        self._due: set[int] = set()  # layers whose keys this call has still to compute and have edited

    @property
    def routing(self) -> Routing | None:
        """Coefficients (B, E, H) per layer of the first router in the batch; None without a router or before the prompt."""
        for group in self.groups:
            if group.router is not None and group.alpha:
                coefficients = {}
                for layer, alpha in sorted(group.alpha.items()):
                    full = torch.zeros((len(self.tokens), *alpha.shape[1:]), dtype=alpha.dtype)
                    full[list(group.rows)] = alpha.cpu()
                    coefficients[layer] = full
                return Routing(group.router.names, coefficients)
        return None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hooks on for the length of the block; two-pass routers look at the unsteered prompt first."""
        for group in self.groups:
            if group.router is not None and group.router.way == "two_pass":
                self._look_ahead(group)
        hooks: list[tuple[nn.Module, Any]] = []
        present = sites(self.model)
        if any(site not in present for group in self.groups for site in group.sites):
            raise RuntimeError(
                "modules of this model's attention have been replaced since its Steering was made; make the Steering anew"
            )
        for site in present:
            here = [group for group in self.groups if site in group.sites]
            if any(group.router is not None and group.router.way == "online" for group in here):
                hooks.append((site.query, self._query_hook(site, here)))  # before the keys: they may be one output
            if here:
                hooks.append((site.key, self._key_hook(site, here)))
        stack = decoder(self.model)
        with watching(hooks):
            handles = [
                self.model.register_forward_pre_hook(self._calls.outermost, with_kwargs=True),
                stack.register_forward_pre_hook(self._place, with_kwargs=True),
                stack.register_forward_hook(self._check_done),
            ]
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()
        if self._calls.refused is not None and not self._calls.used:  # whoever steers and calls it himself did no wrong
            raise RuntimeError(self._calls.refused)

    def _place(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each call of the decoder: which columns it computes, and which marked tokens are among them."""
        call = self._call = self._calls.read(args, kwargs)
        ahead = any(group.router is not None and group.router.way == "two_pass" for group in self.groups)
        if ahead and call.embedded and call.past < self._calls.columns:
            raise ValueError(
                "the prompt came as inputs_embeds, and a two-pass router has weighed the experts by its tokens; "
                "use Router(..., way='online')"
            )
        for group in self.groups:
            if call.past == 0 and group.router is not None and group.router.way == "online":
                group.alpha.clear()  # another prompt begins: what the last one's query said is void
        self._windows = [self._window(group, call) for group in self.groups]
        layers = int(text_config(self.model).num_hidden_layers)  # early-exit drafts lower it for their calls
        windows = zip(self.groups, self._windows, strict=True)
        self._due = {
            s.layer for group, window in windows if window is not None for s in group.sites if s.layer < layers
        }

    def _check_done(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        """After each call of the decoder: every layer that had keys to edit has come by."""
        if self._calls.mine() and self._due:
            raise RuntimeError(
                f"layers {sorted(self._due)} computed keys without calling the modules that do so, and would not have "
                "been steered: something has replaced their attention. Load the model without it"
            )

    def _window(self, group: Group, call: Call) -> _Window | None:
        members = list(group.rows)
        marked = self._highlight[members, call.past : call.past + call.columns]
        member, column = marked.nonzero(as_tuple=True)
        if not len(member):
            return None
        weights = marked[member, column].repeat_interleave(call.copies)
        row = (torch.tensor(members)[member] * call.copies)[:, None] + torch.arange(call.copies)
        index = (row * call.columns + column[:, None]).flatten()
        owner = member.repeat_interleave(call.copies)
        return _Window(index.to(call.device), weights.to(call.device), owner.to(call.device))

    def _query_hook(self, site: Site, groups: Sequence[Group]) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            call = self._call
            if call is None:
                return
            column = self._calls.columns - 1 - call.past  # the prompt's last token, wherever this call ends
            if not 0 <= column < call.columns:
                return
            for group in groups:
                if group.router is not None and group.router.way == "online":
                    rows = torch.tensor(list(group.rows), device=output.device) * call.copies
                    group.alpha[site.layer] = self._weigh(group, site, site.queries(output)[rows, column])

        return hook

    def _weigh(self, group: Group, site: Site, query: Tensor) -> Tensor:
        """(rows, E, H); each row's heads are those its own steering allows."""
        router = group.router
        if router is None:
            raise RuntimeError("no router to weigh with")
        kind = torch.promote_types(query.dtype, torch.float32)
        known = (router.vectors(site.layer), router.values(site.layer))
        vectors, values = (t[:, site.held].to(query.device, kind) for t in known)
        allowed = next(iter(group.rows.values())).allowed[site.layer][:, site.held].to(query.device)
        usual = router.usual(site.layer)
        if usual is not None:
            usual = usual[:, site.held].to(query.device, kind)
        return site.whole(weigh(query.to(kind), vectors, values, allowed, router.score, router.sharpness, usual), 2)

    def _look_ahead(self, group: Group) -> None:
        """Queries of an unsteered pass of the decoder, no vocabulary logits."""
        rows, tokens = list(group.rows), self.tokens.to(input_device(self.model))

        def hook(site: Site) -> Callable[..., None]:
            def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                group.alpha[site.layer] = self._weigh(group, site, site.queries(output)[:, -1])

            return note

        with torch.no_grad(), watching((site.query, hook(site)) for site in group.sites):
            decoder(self.model)(
                input_ids=tokens.ids[rows],
                attention_mask=tokens.attention[rows],
                position_ids=tokens.positions[rows],
                use_cache=False,
            )

    def _key_hook(self, site: Site, groups: Sequence[Group]) -> Callable[..., Tensor | None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
            self._due.discard(site.layer)
            if all(window is None for window in self._windows):
                return None
            flat: Tensor | None = None
            keys = site.keys(output)
            for group, window in zip(self.groups, self._windows, strict=True):
                if window is None or group not in groups:
                    continue
                flat = keys.flatten(0, 1) if flat is None else flat
                flat = self._edit(flat, site, group, window)
            return None if flat is None else site.write(output, flat.view(keys.shape))

        return hook

    def _edit(self, flat: Tensor, site: Site, group: Group, window: _Window) -> Tensor:
        """(M, H, D) keys with the window's rows edited, out of place."""
        kind = torch.promote_types(flat.dtype, torch.float32)
        index, owner, weights = (t.to(flat.device) for t in (window.index, window.owner, window.weights))
        basis = group.bases.get(site.layer)
        if basis is None:
            basis = group.bases[site.layer] = group.basis(site.layer)[site.held].to(flat.device, kind)
        alpha = None
        if group.router is not None:
            if site.layer not in group.alpha:
                raise ValueError(
                    "the prompt is computed in pieces, so its last query comes too late to route in one pass; "
                    "use Router(..., way='two_pass')"
                )
            alpha = group.alpha[site.layer][owner]
        old = flat.index_select(0, index).to(kind)
        column, whole = self._coefficients(group, site.layer, weights.to(kind), owner, alpha)
        inner = torch.einsum("nhd,hdr->nhr", old, basis) * column[:, site.held]
        change = torch.einsum("nhr,hdr->nhd", inner, basis)
        if whole is not None:
            change = change + whole[:, site.held, None] * old
        return flat.index_copy(0, index, (old + change).to(flat.dtype))

    @staticmethod
    def _coefficients(
        group: Group, layer: int, weights: Tensor, owner: Tensor, alpha: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        steerings = list(group.rows.values())
        if len({(s.positive, s.negative) for s in steerings}) == 1:
            return steerings[0].coefficients(layer, weights, alpha)
        each = [s.coefficients(layer, weights, alpha) for s in steerings]
        pick = torch.arange(len(weights), device=weights.device)
        column = torch.stack([c for c, _ in each])[owner, pick]
        wholes = [w for _, w in each if w is not None]
        return column, torch.stack(wholes)[owner, pick] if wholes else None
