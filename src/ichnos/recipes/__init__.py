"""Recipes, one a file: each docstring says what it is, where it comes from, where it differs and what it costs."""
