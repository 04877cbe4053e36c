"""POSSM: spikes as tokens, pooled by attention and carried on by a recurrent core."""
