"""Classical decoders of electroencephalograms: spatial filters, and covariances as points of a curved space."""
