"""An emulated cluster: the backend that needs none."""
