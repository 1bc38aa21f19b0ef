"""Images alone: what is learned goes over into the encoder that a training starts from."""
