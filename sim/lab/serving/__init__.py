"""The engine behind an OpenAI-compatible endpoint."""

from sim.lab.serving.app import build_app
from sim.lab.serving.runner import Runner
from sim.lab.serving.texts import LanguageTexts, Texts, WordTexts, texts_for

__all__ = ["LanguageTexts", "Runner", "Texts", "WordTexts", "build_app", "texts_for"]
