//! The system subsystem.
