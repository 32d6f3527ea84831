"""Keeping a store small and quick: repacking, the commit-graph, packed refs, reflogs, what killed programs left."""
