"""What gitctx costs, measured beside what one would pick instead: `python -m benchmarks`.

`workload` makes the updates, `writers/` are the contenders that store them, `sections/` measure one question each with
`measure`, `report` and `chart` show what came out. `test_pieces.py` times single functions with pytest-benchmark.
"""
