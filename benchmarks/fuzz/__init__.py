"""Files with mistakes, of every kind that socm reads: ``python -m benchmarks.fuzz [COUNT]``.

Each is read, or refused in words, soon, within bounds of memory, and nothing is written.
"""
