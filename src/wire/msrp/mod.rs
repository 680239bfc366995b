//! MSRP (RFC 4975): the grammar, as views over bytes.
