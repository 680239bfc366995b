//! Which status code says what, and the headers that go with it.

use super::dialog::Misfit;
use super::signalling::{Flow, Request, Response};
use crate::base::refusal::Refusal;
use crate::base::rights::Rule;
use std::borrow::Cow;

/// Methods we serve.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, SUBSCRIBE, UPDATE, REFER";

/// Option tags that we know (RFC 3261 §19.2).
pub(super) const SUPPORTED: [&str; 3] = ["timer", "norefersub", "replaces"];

/// Option tags that the factory knows besides (RFC 5366 §5).
const FACTORY_SUPPORTED: &str = "recipient-list-invite";

/// Bodies that the factory takes.
pub(super) const FACTORY_ACCEPT: &str = "application/sdp, multipart/mixed, application/resource-lists+xml";

/// Bodies and answers that we can do (SIP-UAS-01): 415 and 406.
pub(super) fn acceptable(request: &Request) -> Result<(), Response> {
    if request.headers.get("Content-Encoding").is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
        return Err(Response::new(415).with("Accept-Encoding", "identity"));
    }
    let sdp = request.content_type().is_some_and(|t| t.eq_ignore_ascii_case("application/sdp"));
    if !request.body.is_empty() && !sdp {
        return Err(Response::new(415).with("Accept", "application/sdp"));
    }
    if !request.accepts("application/sdp", true) {
        return Err(Response::new(406).with("Accept", "application/sdp"));
    }
    Ok(())
}

/// What a 200 says about us, or about the factory (FOCUS-01, FOCUS-06).
pub(super) fn capabilities(response: Response, contact: &str, factory: bool) -> Response {
    let mut supported = SUPPORTED.to_vec();
    supported.extend(factory.then_some(FACTORY_SUPPORTED));
    response
        .with("Contact", contact)
        .with("Allow", ALLOW)
        .with("Allow-Events", "conference")
        .with("Supported", supported.join(", "))
        .with("Accept", if factory { FACTORY_ACCEPT } else { "application/sdp" })
}

/// A refusal with the reason in words (RFC 3261 §20.43).
pub(super) fn warn(flow: &Flow, code: u16, why: &str) -> Response {
    Response::new(code).with("Warning", format!("399 {} \"{why}\"", flow.local))
}

/// What a quoted string may hold as it is (RFC 3261 §25.1).
fn quotable(c: char) -> char {
    if c == '"' || c == '\\' || c.is_control() { '\'' } else { c }
}

/// The value of Reason in a BYE (RFC 3326).
pub(super) fn reason(cause: u16, words: &str) -> Cow<'static, str> {
    format!("SIP;cause={cause};text=\"{}\"", words.chars().map(quotable).collect::<String>()).into()
}

pub(super) fn misfit_response(misfit: Misfit) -> Response {
    Response::new(match misfit {
        Misfit::Unknown => 481,
        Misfit::Stale => 500,
    })
}

/// A refusal by a rule of the room, in words, and as a token for programs (docs/extensions.md).
pub(super) fn denial(flow: &Flow, rule: Rule, words: Option<&str>) -> Response {
    let code = match rule {
        Rule::Full => 486,
        Rule::UsersCreate | Rule::ModeratorsCreate | Rule::NobodyCreates => 404,
        _ => 403,
    };
    let mut why = rule.told().to_owned();
    why.extend(words.unwrap_or("").chars().map(quotable));
    warn(flow, code, &why).with("Room-Refusal", rule.token())
}

/// The status code of a shard's refusal (FOCUS-03).
pub(super) fn refusal_response(flow: &Flow, why: Refusal, words: Option<&str>) -> Response {
    match why {
        // 503 would have proxies send nobody here for that time: see `flood.rs`.
        Refusal::Flood { of, wait } => warn(flow, 480, &of.told(wait)).with("Retry-After", wait.to_string()),
        Refusal::Denied(rule) => denial(flow, rule, words),
        Refusal::ManyEndpoints => warn(flow, 486, &why.msrp().1),
        Refusal::ShuttingDown => Response::new(503).with("Retry-After", "10"),
        Refusal::Overloaded => Response::new(503).with("Retry-After", "5"),
        Refusal::BadType | Refusal::WrongDirection => Response::new(488),
        Refusal::Malformed => Response::new(400),
        _ => Response::new(403),
    }
}

/// The option tags in Require that we do not have (RFC 3261 §8.2.2.3).
pub(super) fn required(request: &Request, factory: bool) -> Option<String> {
    let mut tags = request.headers.list("Require");
    tags.extend(request.headers.list("Proxy-Require"));
    tags.retain(|tag| !SUPPORTED.iter().any(|s| s.eq_ignore_ascii_case(tag)));
    tags.retain(|tag| !(factory && tag.eq_ignore_ascii_case(FACTORY_SUPPORTED)));
    (!tags.is_empty()).then(|| tags.join(", "))
}
