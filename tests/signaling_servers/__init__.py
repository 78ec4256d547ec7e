"""Servers of other people's kinds, written for the tests as faithfully as the documents allow."""
