"""Realtime, Measured: the servers that the notebooks start, and the instrument that measures them."""
