"""Users, organisations, their tokens and shares."""
