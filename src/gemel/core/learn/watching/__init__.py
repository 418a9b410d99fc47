"""Watching: trainings that run or ran, read from their folders, and how the running ones are steered."""

from gemel.core.learn.watching._trainings import Watched, check_controls, leave_controls, steer, trainings

__all__ = ["Watched", "check_controls", "leave_controls", "steer", "trainings"]
