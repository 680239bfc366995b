//! What is asked within a call: to be known otherwise (re-INVITE), to bring somebody in or take somebody out
//! (REFER, RFC 3515 and RFC 4579 §5.5, §5.11), and the reports on that.

use super::incoming::{Reply, refusal};
use super::{Agent, Answer, Asked, Due, INVITE_WAIT, Kind, News, Phase, Transaction};
use crate::base::clock::Now;
use crate::base::id::Token;
use crate::client::call::{CallError, Step};
use crate::client::sip::{Incoming, is_sip_uri, param};

/// REFERs of one call whose outcome is not known. Beyond: refused here.
const REFERRED_MAX: usize = 64;

impl Agent {
    /// The call within which something is asked.
    fn standing(&mut self, call: Token) -> Result<&mut super::Dialog, CallError> {
        let dialog = self.dialogs.get_mut(&call);
        dialog.filter(|d| d.kind == Kind::Call && d.phase == Phase::Up).ok_or(CallError::Closed)
    }

    /// Offers once more, without wish for privacy: the others may learn who we are.
    pub(in crate::client) fn reveal(
        &mut self,
        now: Now,
        call: Token,
        number: u64,
        offer: &str,
    ) -> Result<(), CallError> {
        self.standing(call)?;
        let extra = format!("Privacy: none\r\n{}Content-Type: application/sdp\r\n", super::ALLOW);
        let other = |t: &Transaction| t.dialog == call && t.asked.method == "INVITE" && t.is_open();
        if self.transactions.values().any(other) {
            return Err(CallError::Busy);
        }
        self.send_request(now, call, "INVITE", number, &extra, offer);
        Ok(())
    }

    /// Asks the server to bring somebody in, or to take somebody out.
    pub(in crate::client) fn refer(
        &mut self,
        now: Now,
        call: Token,
        number: u64,
        whom: &str,
        out: bool,
    ) -> Result<(), CallError> {
        if !is_sip_uri(whom) {
            return Err(CallError::BadAddress(whom.to_string()));
        }
        let dialog = self.standing(call)?;
        if dialog.referred.len() >= REFERRED_MAX {
            return Err(CallError::Busy);
        }
        // The method belongs before any headers of the URI.
        let (address, headers) = whom.split_at(whom.find('?').unwrap_or(whom.len()));
        let method = if out { "BYE" } else { "INVITE" };
        let extra = format!("Refer-To: <{address};method={method}{headers}>\r\n");
        self.send_request(now, call, "REFER", number, &extra, "");
        Ok(())
    }

    /// A re-INVITE was accepted.
    pub(super) fn on_revised(&mut self, id: Token, branch: Token, cseq: u32, message: &Incoming) {
        let Some(t) = self.transactions.remove(&branch) else { return };
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.learn(message, true);
            dialog.privacy = "";
        }
        self.acknowledge(id, cseq);
        self.news.push_back(News::Revised(id, t.asked.number, Ok(Answer::read(message))));
    }

    pub(super) fn on_refer_answered(
        &mut self,
        now: Now,
        id: Token,
        asked: Asked,
        code: u16,
        phrase: &str,
        message: &Incoming,
    ) {
        let number = asked.number;
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if (200..300).contains(&code) {
            let silent = message.header("Refer-Sub").and_then(|v| v.split(';').next());
            if silent.is_some_and(|v| v.trim().eq_ignore_ascii_case("false")) {
                dialog.referred.retain(|(_, n)| *n != number);
            } else {
                self.set_timer(now + INVITE_WAIT, Due::Reference(id, number));
            }
            return self.news.push_back(News::Referred(id, number, Ok(())));
        }
        dialog.referred.retain(|(_, n)| *n != number);
        let outcome = match code {
            401 | 407 => self.prove(now, id, asked, code, phrase, message),
            _ => Err(refusal(code, phrase, message)),
        };
        if outcome.is_err() {
            self.news.push_back(News::Referred(id, number, outcome));
        }
    }

    /// A NOTIFY within a call: how far a REFER is.
    pub(super) fn on_report(&mut self, id: Token, request: &Incoming, repeated: bool) -> Reply {
        let event = request.header("Event").unwrap_or_default();
        let is_refer = event.split(';').next().is_some_and(|e| e.trim().eq_ignore_ascii_case("refer"));
        let named = param(event, "id").map(|id| id.parse::<u32>());
        let dialog = self.dialogs.get_mut(&id).filter(|_| is_refer);
        let referred = dialog.map(|d| &mut d.referred);
        // Only the first REFER of a dialog may go without a number (RFC 3515 §2.4.6).
        let about = referred.as_ref().and_then(|all| match named {
            None => (!all.is_empty()).then_some(0),
            Some(cseq) => all.iter().position(|(c, _)| cseq.as_ref() == Ok(c)),
        });
        let (Some(at), Some(referred)) = (about, referred) else {
            let (code, phrase) =
                if repeated { (200, "OK") } else { (481, "Call/Transaction Does Not Exist") };
            return (code, phrase, String::new());
        };
        if !repeated {
            let state = request.header("Subscription-State").unwrap_or_default();
            let state = state.split(';').next().unwrap_or_default().trim();
            let (code, phrase) = fragment(&request.body);
            let last = state.eq_ignore_ascii_case("terminated") || code >= 200;
            let number = referred[at].1;
            if last {
                referred.remove(at);
            }
            self.news.push_back(News::Progress(id, number, Step { code, phrase, last }));
        }
        (200, "OK", String::new())
    }

    /// The server has not told for too long how far a REFER is.
    pub(super) fn reference_due(&mut self, id: Token, number: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let before = dialog.referred.len();
        dialog.referred.retain(|(_, n)| *n != number);
        if dialog.referred.len() < before {
            let step = Step { code: 408, phrase: "the server told no outcome".to_string(), last: true };
            self.news.push_back(News::Progress(id, number, step));
        }
    }

    /// Whether it is only a request within a call that failed, and the call goes on.
    pub(super) fn failed_within(&mut self, t: &Transaction, error: &CallError) -> bool {
        let (id, number) = (t.dialog, t.asked.number);
        match t.asked.method {
            "REFER" => {
                if let Some(dialog) = self.dialogs.get_mut(&id) {
                    dialog.referred.retain(|(_, n)| *n != number);
                }
                self.news.push_back(News::Referred(id, number, Err(error.clone())));
            }
            "INVITE" => self.news.push_back(News::Revised(id, number, Err(error.clone()))),
            _ => return false,
        }
        true
    }
}

/// The status line of a `message/sipfrag` (RFC 3420); 100 if it has none.
fn fragment(body: &[u8]) -> (u16, String) {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default().trim();
    let read = || {
        let (version, rest) = line.split_once(' ')?;
        let (code, phrase) = rest.split_once(' ').unwrap_or((rest, ""));
        let code = code.parse().ok().filter(|c| (100..700).contains(c))?;
        version.starts_with("SIP/").then(|| (code, phrase.trim().to_string()))
    };
    read().unwrap_or((100, String::new()))
}
