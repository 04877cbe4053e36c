"""Three published networks for EEG trials: EEGNet, ShallowConvNet and EEG Conformer, streaming bin by bin."""
