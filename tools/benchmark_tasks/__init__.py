"""The tasks of tools/benchmark.py. Each takes the config and the arguments, and yields results as
dicts."""
