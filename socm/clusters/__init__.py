"""Clusters as data: one TOML file each, with the source and the date of its figures."""
