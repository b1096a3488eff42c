"""Features of requests: one versioned place for training and serving, so that the two cannot differ."""

from router.features.spec import FEATURE_VERSION, Features, FeatureSpec

__all__ = ["FEATURE_VERSION", "FeatureSpec", "Features"]
