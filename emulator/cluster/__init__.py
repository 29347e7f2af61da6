"""The Backend.AI manager."""
