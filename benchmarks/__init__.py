"""What gitctx costs, measured beside what one would pick instead: `python -m benchmarks`.

`workload` makes the updates, `writers/` are the contenders that store them, `hands` do so in several processes or
threads (`together`), `watchers` wait for what they write, `growth` makes large stores. `sections/` measure one question
each with `measure`; `report`, `chart` and `lines` show what came out. `test_pieces.py` times single functions with
pytest-benchmark.
"""
