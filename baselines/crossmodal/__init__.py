"""Cross-modal distillation: a transformer on spikes teaches one on LFP (arXiv 2512.12461)."""
