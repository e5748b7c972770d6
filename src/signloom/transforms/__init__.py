"""What is done to a clip: geometry, augmentation, smoothing, retargeting, what models see."""
