"""The decoders of the NeuroBench challenge on primate reaching: four baselines and the recurrent spiking networks."""
