"""A decoder for the Neural Decoder Harness."""
