"""The network that is trained: Qwen3's arithmetic, laid out for speed; it knows nothing of text, optimisers or steering.

`transformers` computes the same function more slowly when gradients are wanted, so training uses this module and
`export` hands its weights over, name by name, to `Qwen3ForCausalLM`, which is what everybody else sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

IGNORED = -100
"""Target of a column that has no loss: the last one of a document."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. `width` is split into `heads` query heads of `head_width`; `kv_heads` divides `heads`."""

    vocabulary: int = 4096
    layers: int = 8
    width: int = 256
    heads: int = 8
    kv_heads: int = 4
    head_width: int = 32
    inner: int = 640
    context: int = 1024
    theta: float = 10_000.0
    epsilon: float = 1e-6


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, in float32 as Qwen3 does it."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width), in the dtype of x."""
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return (self.weight * y).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of x (B, T, heads, D) with cos and sin (B, T, 1, D)."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head_width, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)
        self.q_norm = RMSNorm(shape.head_width, shape.epsilon)
        self.k_norm = RMSNorm(shape.head_width, shape.epsilon)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, width), mask (B, 1, 1, T, T) additive -> (B, T, width).

        The query heads of one group stand in their own axis, so keys and values are never repeated, and the scores
        come from a plain batched product: on a CPU its backward pass is much faster than that of fused attention.
        """
        s, (b, t, _) = self.shape, x.shape
        group = s.heads // s.kv_heads
        q = rotate(self.q_norm(self.q_proj(x).view(b, t, s.heads, s.head_width)), cos, sin)
        k = rotate(self.k_norm(self.k_proj(x).view(b, t, s.kv_heads, s.head_width)), cos, sin)
        v = self.v_proj(x).view(b, t, s.kv_heads, s.head_width).transpose(1, 2)
        q = q.view(b, t, s.kv_heads, group, s.head_width).permute(0, 2, 3, 1, 4)
        q = q.reshape(b * s.kv_heads, group * t, s.head_width).to(v.dtype) * s.head_width**-0.5
        k = k.permute(0, 2, 3, 1).reshape(b * s.kv_heads, s.head_width, t).to(v.dtype)
        scores = torch.bmm(q, k).view(b, s.kv_heads, group, t, t) + mask
        weights = torch.softmax(scores.float(), dim=-1).to(v.dtype).view(b * s.kv_heads, group * t, t)
        mixed = torch.bmm(weights, v.reshape(b * s.kv_heads, t, s.head_width))
        mixed = mixed.view(b, s.kv_heads * group, t, s.head_width).transpose(1, 2).reshape(b, t, -1)
        out: Tensor = self.o_proj(mixed)
        return out


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """One layer: attention and MLP, each behind a norm and beside a residual path."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = MLP(shape)
        self.input_layernorm = RMSNorm(shape.width, shape.epsilon)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.epsilon)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Network(nn.Module):
    """The whole model; parameter names are those of `Qwen3Model`, and the embedding is also the output matrix."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.epsilon)
        half = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
        angles = torch.arange(shape.context, dtype=torch.float32)[:, None] * shape.theta**-half
        angles = torch.cat((angles, angles), dim=-1)[:, None, :]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every matrix anew; the matrices that write into the residual path start smaller."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                small = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = 0.02 / (2 * self.shape.layers) ** 0.5 if small else 0.02
                with torch.no_grad():
                    parameter.normal_(0.0, scale, generator=generator)

    def forward(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """ids, positions (B, T), mask (B, 1, 1, T, T) additive -> logits (B, T, vocabulary)."""
        x = self.embed_tokens(ids)
        cos, sin = self.cos[positions], self.sin[positions]
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return F.linear(self.norm(x), self.embed_tokens.weight)

    def loss(self, ids: Tensor, positions: Tensor, mask: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Next-token loss in nats, the mean over the columns by `weights` (B, T); `IGNORED` targets weigh nothing."""
        logits = self(ids, positions, mask)
        each = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
        return (each * weights.flatten()).sum() / weights.sum()


def low_precision(device: str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32; a CPU without such instructions only imitates it."""
    if not device.startswith("cpu"):
        return True
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def precision(device: str) -> torch.autocast:
    """The precision of training and probing on a device: bfloat16 products where they are fast, else float32."""
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=low_precision(device))


def document_mask(documents: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Which columns see which: documents (B, T) -> (B, 1, 1, T, T), 0 for earlier columns of the same document.

    It is made outside the compiled step, which would otherwise compute it anew in every layer.
    """
    t = documents.shape[1]
    past = torch.ones(t, t, dtype=torch.bool, device=documents.device).tril()
    seen = (documents[:, :, None] == documents[:, None, :]) & past
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -1e9)[:, None, None]


def export(network: Network, end: int) -> Qwen3ForCausalLM:
    """The same function as a `Qwen3ForCausalLM` in float32; `end` is the id of <|endoftext|>."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    s = network.shape
    config = Qwen3Config(
        vocab_size=s.vocabulary,
        hidden_size=s.width,
        intermediate_size=s.inner,
        num_hidden_layers=s.layers,
        num_attention_heads=s.heads,
        num_key_value_heads=s.kv_heads,
        head_dim=s.head_width,
        max_position_embeddings=s.context,
        rms_norm_eps=s.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": s.theta},
        tie_word_embeddings=True,
        attention_bias=False,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    model: Qwen3ForCausalLM = Qwen3ForCausalLM(config).float()
    state = {f"model.{name}": value.detach().float().cpu().clone() for name, value in network.state_dict().items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = end
    model.eval()
    return model


def adopt(network: Network, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Take the weights of an exported model with as many layers of the same width; its context may have been shorter.

    Where its tokenizer is another one, the embedding of a token begins as the mean of those of the same text there.
    Bytes that an earlier corpus never held, parts of characters beyond ASCII, have grown alike, and are drawn anew.
    """
    from transformers import PreTrainedTokenizerFast

    stored = load_file(folder / "model.safetensors")
    state = {name.removeprefix("model."): value.float() for name, value in stored.items() if name != "lm_head.weight"}
    before = PreTrainedTokenizerFast.from_pretrained(folder)
    if before.get_vocab() != tokenizer.get_vocab():
        known = state["embed_tokens.weight"]
        rows = []
        for token in range(len(tokenizer)):
            ids = before(tokenizer.decode([token]), add_special_tokens=False)["input_ids"]
            rows.append(known[ids].mean(0) if ids else known.mean(0))
        state["embed_tokens.weight"] = torch.stack(rows)
    parts = [token for token in range(len(tokenizer)) if "\ufffd" in tokenizer.decode([token])]
    if parts:
        known = state["embed_tokens.weight"]
        if known[parts].std(0).norm() < 0.1 * known.std(0).norm():
            drawn = torch.randn(len(parts), known.shape[1], generator=torch.Generator().manual_seed(0))
            known[parts] = known.mean(0) + known.std(0) * drawn
    network.load_state_dict(state)
