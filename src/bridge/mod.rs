//! The bridge subsystem.
