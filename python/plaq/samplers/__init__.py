"""Samplers of fields of an action."""
