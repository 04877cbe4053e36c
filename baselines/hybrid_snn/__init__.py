"""Convolutions that thin out time, spiking units at the rate that is left, answers for every bin: `hybrid-snn-*`.

BMnet, RTnet and sRTnet of Krausse, Vasilache, Knobloch and Becker 2025 (arXiv 2506.13400), and two that wait for no
later bin. `baselines.keypoint_networks` holds their parents: Vasilache et al. 2024 (arXiv 2409.04428).

Shapes, sizes, delays, penalties and grids are the published ones; the training is not. There, networks are pretrained
for 50 epochs on windows of 4096 bins, one beginning at every bin, in batches of 2048 at a learning rate of 1e-4. Here

- 16 windows of 100 keypoints (400 bins, 800 for BMnet) make a batch, some hundreds of batches a training, and the
  learning rate rises to 6e-3: minutes on one core;
- membranes begin with a time constant of 150 ms: a leak of 0.9 from keypoint to keypoint, and 0.81 for BMnet, whose
  keypoints are 32 ms apart (the paper names no first leak);
- recurrent weights begin at 0.3 of the usual ones, convolutions are scaled to the data at first, and what resets a
  membrane carries a gradient (decision 0073);
- weights and buffers published in 16 bits are in float32, and those of sRTnet on their grids in the last third of
  training.
"""
