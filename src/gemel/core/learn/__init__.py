"""Learning: from data to a model in service, and back; everything but training itself works without PyTorch.

`models` says what a model is, `samples` what it learns from; `training` and `portfolio` (with the extra `ml`) teach it,
`uncertainty` gives its doubt, `search` its settings, `registry` its history, `serving` its answers, `monitoring` its age.
"""

__all__: list[str] = []
