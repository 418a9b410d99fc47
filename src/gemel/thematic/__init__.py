"""Domain modules: the science that twins are made of. They know nothing of one another."""
