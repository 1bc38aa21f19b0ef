"""Labeled and unlabeled images together."""
