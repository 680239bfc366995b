//! SIP conference focus as a machine.
