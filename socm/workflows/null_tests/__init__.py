"""Null tests: maps of splits of the observations, whose differences should be noise.

A test puts each observation into a group (`groups`), splits each group (`splits`), and makes a
map of each split (`base`); `smart` balances splits by what they cover of the sky.
"""
