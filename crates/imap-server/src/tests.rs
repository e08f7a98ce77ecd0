//! Dialogues between clients and sessions over the memory engine.
