"""The version, here alone: the package's metadata and the documentation read it from here."""

__version__ = "0.1.0"
