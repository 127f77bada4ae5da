//! What is handed out: decision and execution statements, tiers of evidence.
