"""The decoders that come with the harness: one file each, each an example of the contract."""
