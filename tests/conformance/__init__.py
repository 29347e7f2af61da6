"""One suite for the emulator and for a real Backend.AI: what holds on one holds on the other."""
