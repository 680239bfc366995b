//! The wrapper message/cpim (RFC 3862).
