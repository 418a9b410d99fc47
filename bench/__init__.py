"""Performance claims, each beside its peer or its limit in the same run: `python -m bench [NAME...]`."""
