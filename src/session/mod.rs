//! One MSRP session as a machine.
