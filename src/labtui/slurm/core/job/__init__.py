"""Jobs, their steps and their submission."""
