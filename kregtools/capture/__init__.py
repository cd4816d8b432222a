"""Looks inside real training steps: the only package that reaches into a model or its train step."""

from kregtools.capture.capture import Capture
from kregtools.capture.facts import model_facts
from kregtools.capture.schedule import Schedule

__all__ = ["Capture", "Schedule", "model_facts"]
