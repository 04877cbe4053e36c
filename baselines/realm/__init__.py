"""REALM: a causal LFP decoder that learns from a teacher which looks both ways (Mamba-2 blocks throughout).

After the description in arXiv 2605.14867 and of its second, label-free release; decision 0083 says what differs here.
"""
