"""What a model is: a description that it can be made anew from, and a bundle that holds what it has learned."""

from gemel.core.learn.models._bundle import Bundle, is_bundle
from gemel.core.learn.models._description import Description
from gemel.core.learn.models._kinds import Answer, Kind, Learner, Training, kind, kinds

__all__ = ["Answer", "Bundle", "Description", "Kind", "Learner", "Training", "is_bundle", "kind", "kinds"]
