"""From raw scans of heads to brains that lie alike: registration, skull stripping, bias correction, normalization."""
