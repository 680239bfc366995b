//! Status codes of MSRP (RFC 4975 §10, RFC 4976 §10.3, RFC 7701 §10.3).
//!
//! Which code answers which mistake is `base::refusal`'s matter; here are only the registered names and
//! the rule for codes nobody knows.

/// What a code means to the one who sent the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// 2xx: it went well.
    Good,
    /// Everything else, known or not.
    Bad,
}

/// Judges a code, also an unknown one, by its class (RFC 4975 §10).
#[must_use]
pub fn class(code: u16) -> Class {
    if (200..300).contains(&code) { Class::Good } else { Class::Bad }
}

/// The registered meaning of a code, as a comment for a start line; empty for an unknown one.
#[must_use]
pub fn name(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Recipient not in room",
        408 => "Timeout",
        413 => "Stop sending this message",
        415 => "Unsupported media type",
        423 => "Parameter out of bounds",
        424 => "Malformed nickname",
        425 => "Nickname reserved or already in use",
        428 => "Private messages not supported",
        481 => "No such session",
        501 => "Unknown method",
        506 => "Session already in use",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_three_rfcs_has_a_name() {
        // MSRP-TXN-11
        for code in [200, 400, 401, 403, 404, 408, 413, 415, 423, 424, 425, 428, 481, 501, 506] {
            assert!(!name(code).is_empty(), "{code}");
        }
        assert_eq!(name(299), "");
    }

    #[test]
    fn an_unknown_code_is_judged_by_its_class() {
        // MSRP-TXN-09
        assert_eq!(class(200), Class::Good);
        assert_eq!(class(299), Class::Good);
        for bad in [0, 100, 199, 300, 413, 499, 506, 600, 999] {
            assert_eq!(class(bad), Class::Bad, "{bad}");
        }
    }
}
