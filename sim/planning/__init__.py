"""From a scenario with candidates to a plan: what is bought for which hours, run by which policy, at what cost."""
