"""Networks of PyTorch, one module a kind; imported when a learner is made, never before."""
