"""Classical decoders of the local field potential, and the features that they read."""
