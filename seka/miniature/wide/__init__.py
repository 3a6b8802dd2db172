"""The wide corpus: what the embedded model is trained on next, and what it is measured by while it is. Imports nothing.

It takes the place of the corpus beside it, which the shipped weights were trained on, once weights of its own are shipped.
"""
