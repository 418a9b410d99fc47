"""Ensembles of lattice fields in two dimensions: flow samplers beside Monte Carlo references and exact results."""
