"""The schemes in Python and NumPy. They say what a schedule is; compiled ones must be equal."""
