"""gemel: an open digital twin engine for science."""
