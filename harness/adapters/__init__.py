"""Decoders written for other benchmarks, made into decoders of this one: `from harness import from_sklearn`, ..."""
