"""The rules: each puts rows in an order of preference; the registry gives them names."""
