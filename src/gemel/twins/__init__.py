"""The DT applications, one folder each: twin.toml, twin.py, card, tests."""
