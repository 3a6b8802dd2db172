"""One steered stretch of model calls: hooks, and the window of columns each call computes.

Knows which tokens are marked and when their columns pass; what is added to a key is a `Steering`'s to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seka.routing import Router, Routing, weigh
from seka.sites import Site, decoder, sites, watching
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
    bases: dict[int, Tensor] = field(default_factory=dict)  # {layer: (H, D, R)} on the device and in the type of use
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
        self._batch, self._columns = self._highlight.shape
        self._owner = threading.get_ident()
        self._windows: list[_Window | None] = [None] * len(groups)
        self._call = (0, 0, 1)  # first column, columns, copies of each row
        self._lengths: dict[int, tuple[Any, int]] = {}  # columns seen by caches that keep their length on the device

    @property
    def routing(self) -> Routing | None:
        """Coefficients (B, E, H) per layer of the first router in the batch; None without a router or before the prompt."""
        for group in self.groups:
            if group.router is not None and group.alpha:
                coefficients = {}
                for layer, alpha in sorted(group.alpha.items()):
                    full = torch.zeros((self._batch, *alpha.shape[1:]), dtype=alpha.dtype)
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
        hooks: dict[nn.Module, Any] = {}
        for site in sites(self.model):
            here = [group for group in self.groups if site in group.sites]
            if any(group.router is not None and group.router.way == "online" for group in here):
                hooks[site.query] = self._query_hook(site, here)
            if here:
                hooks[site.key] = self._key_hook(site, here)
        handle = decoder(self.model).register_forward_pre_hook(self._place, with_kwargs=True)
        try:
            with watching(hooks):
                yield
        finally:
            handle.remove()

    def _place(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each call of the decoder: which columns it computes, and which marked tokens are among them."""
        if threading.get_ident() != self._owner:
            return
        inputs = kwargs.get("inputs_embeds") if kwargs.get("input_ids") is None else kwargs["input_ids"]
        inputs = args[0] if inputs is None and args else inputs
        if inputs is None:
            raise ValueError("the model was called without input_ids or inputs_embeds, so no column can be placed")
        rows, columns = int(inputs.shape[0]), int(inputs.shape[1])
        past = self._past(kwargs.get("past_key_values"), columns)
        if rows % self._batch:
            raise ValueError(
                f"the model was called with {rows} rows inside a steering of {self._batch}; wanted the same rows, or a "
                "multiple of them (beams, several sequences)"
            )
        if past == 0 and columns < self._columns and kwargs.get("past_key_values") is None:
            raise ValueError(
                f"the model was called with {columns} columns inside a steering of {self._columns} tokens; wanted the whole "
                "prompt, or its next columns together with a cache"
            )
        for group in self.groups:
            if past == 0 and group.router is not None and group.router.way == "online":
                group.alpha.clear()  # another prompt begins: what the last one's query said is void
        self._call = (past, columns, rows // self._batch)
        self._windows = [
            self._window(group, past, columns, rows // self._batch, inputs.device) for group in self.groups
        ]
        if kwargs.get("inputs_embeds") is None and any(window is not None for window in self._windows):
            self._check_prompt(inputs, past)

    def _check_prompt(self, ids: Tensor, past: int) -> None:
        """A call that computes marked columns must compute this steering's tokens."""
        columns = min(ids.shape[1], self._columns - past)
        wanted = self.tokens.ids[:, past : past + columns].to(ids.device)
        wanted = wanted.repeat_interleave(ids.shape[0] // self._batch, 0)
        if not torch.equal(ids[:, :columns], wanted):
            raise ValueError(
                "the model was called with other tokens inside a steering; wanted the prompt it was entered with. Leave it "
                "first, or enter seka.steer with all rows"
            )

    def _past(self, cache: Any, columns: int) -> int:
        """Columns that are in the cache. A static cache keeps the number on the device: it is read when several columns
        come at once, and counted while they come one by one, so that decoding never waits for the device."""
        if cache is None:
            return 0
        length = cache.get_seq_length()
        if not isinstance(length, Tensor):
            return int(length)
        counted = columns == 1 and id(cache) in self._lengths
        seen = self._lengths[id(cache)][1] if counted else int(length)
        self._lengths[id(cache)] = (cache, seen + columns)
        return seen

    def _window(self, group: Group, past: int, columns: int, copies: int, device: torch.device) -> _Window | None:
        members = list(group.rows)
        marked = self._highlight[members, past : past + columns]
        member, column = marked.nonzero(as_tuple=True)
        if not len(member):
            return None
        weights = marked[member, column].repeat_interleave(copies)
        row = (torch.tensor(members)[member] * copies)[:, None] + torch.arange(copies)
        index = (row * columns + column[:, None]).flatten()
        return _Window(index.to(device), weights.to(device), member.repeat_interleave(copies).to(device))

    def _query_hook(self, site: Site, groups: Sequence[Group]) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            past, columns, copies = self._call
            column = self._columns - 1 - past  # the prompt's last token, wherever this call ends
            if threading.get_ident() != self._owner or not 0 <= column < columns:
                return
            for group in groups:
                if group.router is not None and group.router.way == "online":
                    rows = torch.tensor(list(group.rows), device=output.device) * copies
                    group.alpha[site.layer] = self._weigh(group, site, site.queries(output)[rows, column])

        return hook

    def _weigh(self, group: Group, site: Site, query: Tensor) -> Tensor:
        """(rows, E, H); each row's heads are those its own steering allows."""
        router = group.router
        if router is None:
            raise RuntimeError("no router to weigh with")
        kind = torch.promote_types(query.dtype, torch.float32)
        vectors, values = (t.to(query.device, kind) for t in (router.vectors(site.layer), router.values(site.layer)))
        allowed = next(iter(group.rows.values())).allowed[site.layer].to(query.device)
        return weigh(query.to(kind), vectors, values, allowed, router.score, site)

    def _look_ahead(self, group: Group) -> None:
        """Queries of an unsteered pass of the decoder, no vocabulary logits."""
        rows = list(group.rows)

        def hook(site: Site) -> Callable[..., None]:
            def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                if threading.get_ident() == self._owner:
                    group.alpha[site.layer] = self._weigh(group, site, site.queries(output)[:, -1])

            return note

        attention = self.tokens.attention[rows]
        with torch.no_grad(), watching({site.query: hook(site) for site in group.sites}):
            decoder(self.model)(
                input_ids=self.tokens.ids[rows],
                attention_mask=attention,
                position_ids=(attention.cumsum(-1) - 1).clamp(min=0),
                use_cache=False,
            )

    def _key_hook(self, site: Site, groups: Sequence[Group]) -> Callable[..., Tensor | None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
            if threading.get_ident() != self._owner:
                return None
            flat: Tensor | None = None
            keys = site.keys(output)
            for group, window in zip(self.groups, self._windows, strict=True):
                if window is None or group not in groups:
                    continue
                flat = keys.flatten(0, 1) if flat is None else flat
                flat = self._edit(flat, site, group, window)
            return None if flat is None else site.pack(flat.view(keys.shape))

        return hook

    def _edit(self, flat: Tensor, site: Site, group: Group, window: _Window) -> Tensor:
        """(M, H, D) keys with the window's rows edited, out of place."""
        kind = torch.promote_types(flat.dtype, torch.float32)
        index, owner, weights = (t.to(flat.device) for t in (window.index, window.owner, window.weights))
        basis = group.bases.get(site.layer)
        if basis is None:
            basis = group.bases[site.layer] = group.basis(site.layer).to(flat.device, kind)
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
        change = torch.einsum("nhr,hdr->nhd", torch.einsum("nhd,hdr->nhr", old, basis) * column, basis)
        if whole is not None:
            change = change + whole[:, :, None] * old
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
