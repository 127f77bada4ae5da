//! Where people come in: one folder for each channel.
