"""What a router is made of: ridge regression and shared trees on the same features, averaged and calibrated."""
