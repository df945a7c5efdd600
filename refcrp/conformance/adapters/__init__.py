"""Adapters: one function ``explain(case)`` for each implementation that is checked.

`own` is this package; `zennit`, `zennit_crp` and `captum` run those libraries, and need the extra `compare`.
They are examples, too: an adapter of your own builds the network of a case, runs your code on it, and gives
the relevance of the input.
"""
