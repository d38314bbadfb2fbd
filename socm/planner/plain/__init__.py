"""The schemes in Python and NumPy; compiled schedules must be equal to those of the serial one."""
