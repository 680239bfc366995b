//! MSRP (RFC 4975): the grammar, as views over bytes.
//!
//! ```text
//! message   = start-line  *( header CRLF )  [ CRLF body CRLF ]  end-line
//! start     = "MSRP" SP tid SP ( METHOD / 3DIGIT [ SP comment ] ) CRLF        RFC 4975 §9
//! header    = name ":" SP value          To-Path and From-Path first, Content-Type last
//! end-line  = "-------" tid ( "$" / "+" / "#" ) CRLF                          RFC 4975 §7.1
//! tid       = ( letter / digit ) 3*31( letter / digit / "." / "-" / "+" / "%" / "=" )
//! ```
//!
//! There is no length anywhere: a body ends where CRLF and the end-line of its own transaction stand.
//!
//! - [`answer`] knows the usual answer without reading it.
//! - [`frame`] finds messages in a stream and hands out bodies in parts.
//! - [`head`] reads start line and headers.
//! - [`uri`], [`range`], [`status`] read single values.
//! - [`encode`] writes; it never touches a body.
//!
//! Bounded by `limits::LINE_BYTES_MAX`, `HEAD_BYTES_MAX`, `HEAD_LINES_MAX`; nothing here allocates,
//! except that `encode` appends to the buffer it is given. Proved by the tests in the files, the
//! torture corpus (`tests/torture_msrp.rs`) and a naive twin (`tests/twins_msrp.rs`).

pub mod answer;
pub mod encode;
pub mod frame;
pub mod head;
pub mod range;
pub mod status;
pub mod uri;

pub use frame::{FrameError, Framer, Step};
pub use head::{FailureReport, Head, HeadFault, Kind, Method, Status};
pub use range::ByteRange;
pub use uri::{MsrpUri, UriError};
