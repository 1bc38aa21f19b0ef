"""Whole images told apart."""
