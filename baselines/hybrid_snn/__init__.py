"""Convolutions that thin out time, spiking units at the rate that is left, answers for every bin: `hybrid-snn-*`."""
