"""The house: what is shipped, documented and promised about the repository itself."""
