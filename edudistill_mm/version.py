"""The version of edudistill_mm. Read as text by setup.py, so it imports nothing."""

__version__ = '0.1.0'
