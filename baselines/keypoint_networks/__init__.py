"""The parents of the hybrid spiking network: the same front, and gated, spiking gated or spiking units behind it."""
