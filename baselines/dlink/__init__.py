"""DLink: a small EEG decoder that imitates the layers of a large, pretrained one, then compresses.

After the abstract of the paper; what it leaves open, and what is chosen here, is in decision 0094.
"""
