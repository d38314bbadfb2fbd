"""Carries a plan out against a backend, emulated or real."""
