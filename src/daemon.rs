//! The composition root: storage, broker, gate and the subsystems, in start order.
