"""Seeing what others write: watching a store, and the switch that silences all its watchers."""
