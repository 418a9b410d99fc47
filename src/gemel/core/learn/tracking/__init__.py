"""Tracking with MLflow: trainings and models told to a database or a server that others look into; never needed."""

from gemel.core.learn.tracking._tracker import Tracker

__all__ = ["Tracker"]
