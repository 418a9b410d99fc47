"""A plugin for gemel: one process, one kind of check, one twin."""
