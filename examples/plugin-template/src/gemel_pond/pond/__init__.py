"""The twin `pond`: `twin.toml` says what it is, `twin.py` what it does."""
