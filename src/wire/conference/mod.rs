//! Documents that tell who is in a room: `application/conference-info+xml` (RFC 4575).
//!
//! [`write()`] makes them for subscribers, [`read`] takes them apart for our client. The writer escapes
//! every value; the reader knows no DTD and no entities, minds namespaces and skips what it does not know.
//! [`recipients`] reads lists of addresses, [`Composing`] who is writing and
//! [`Notice`] that a message has arrived, with the same reader.
//!
//! Bounds of the reader: [`DOCUMENT_BYTES_MAX`], [`DEPTH_MAX`], [`ATTRIBUTES_MAX`], [`NAMESPACES_MAX`].
//! Proof: the tests of this folder, the sample of the requirements octet by octet among them.

mod composing;
mod list;
mod notice;
mod read;
mod write;
mod xml;

pub use composing::{COMPOSING_MEDIA_TYPE, Composing};
pub use list::{CopyControl, LIST_MEDIA_TYPE, RECIPIENTS_MAX, Recipient, history, recipients};
pub use notice::{NOTICE_MEDIA_TYPE, NOTICE_NAMESPACE, Notice};
pub use read::{EndpointUpdate, ListedRoom, RosterUpdate, State, UserUpdate, read};
pub use write::{
    END, Endpoint, LISTED_BEGIN, LISTED_END, Listed, Roster, USERS_END, User, begin, begin_users, count,
    describe, listed, sidebars, user, write,
};
pub use xml::{ATTRIBUTES_MAX, DEPTH_MAX, NAMESPACES_MAX, XmlError};

/// Octets of a document that is read: room for 1600 users at 640 octets. Beyond: refused.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// The media type of the documents.
pub const MEDIA_TYPE: &str = "application/conference-info+xml";

/// The namespace of RFC 4575.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:conference-info";

/// The namespace of RFC 6501, whose `nickname` RFC 7701 §7 uses.
const XCON_NAMESPACE: &str = "urn:ietf:params:xml:ns:xcon-conference-info";
