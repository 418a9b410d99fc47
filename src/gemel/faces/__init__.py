"""Faces: standards spoken to others, each a thin translation of what the engine does; met through the plugin registry."""
