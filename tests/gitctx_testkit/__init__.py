"""Helpers for gitctx's tests: stores that are verified when a test ends, processes to kill, plain git beside it."""
