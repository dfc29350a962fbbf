"""A run again from what its manifest says: what is recorded, and what is compared."""
