"""halfmask trains medical image segmentation and classification models from few labels."""

__version__ = "0.1.0"
