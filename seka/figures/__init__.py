"""Pictures of what the library returned. Pure functions of a `Projection`, a `Routing` or a `Comparison`; no steering.

Maps of the heads: `heads`, `shifts`, `effects`, and `sensitivity`, the values that `heads` colours. Several side by side:
`router`, `attention`. Tokens and answers: `next_tokens`, `compare`, `sweep`. Each gives a plotly figure.
"""

from seka.figures.answers import compare, next_tokens, sweep
from seka.figures.grids import attention, router
from seka.figures.maps import effects, heads, sensitivity, shifts

__all__ = ["attention", "compare", "effects", "heads", "next_tokens", "router", "sensitivity", "shifts", "sweep"]
