//! The stats subsystem.
