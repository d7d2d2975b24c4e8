"""Choosing a transport: the measurements of notebook 07, a module for each idea."""
