"""Where work runs: this process, or worker processes of this machine; a cluster is in `harness.cluster`."""
