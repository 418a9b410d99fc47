"""Federated infrastructure: data lake, compute, access and the SQL store."""
