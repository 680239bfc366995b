//! What comes in: answers to our requests, and requests within our dialogs.

use super::{
    ALLOW, Agent, Answer, Asked, Dialog, Due, INVITE_WAIT, Kind, News, Phase, Progress, RESPONSE_WAIT,
    SUBSCRIBE_SECONDS, T2, token,
};
use crate::base::clock::Now;
use crate::base::id::Token;
use crate::client::account::realm;
use crate::client::call::CallError;
use crate::client::sip::{Incoming, is_nobody, is_sip_uri, list, param, quoted_text, uri};
use bytes::Bytes;
use std::time::Duration;

/// Code, phrase and further header lines of an answer.
pub(super) type Reply = (u16, &'static str, String);

// ---- responses in -----------------------------------------------------------------------------

impl Agent {
    pub(super) fn on_response(&mut self, now: Now, code: u16, phrase: &str, message: &Incoming) {
        let Some((cseq, method)) = message.cseq() else { return };
        let branch = message.header("Via").and_then(|v| param(v, "branch"));
        let Some(branch) = branch.and_then(|b| b.strip_prefix("z9hG4bK")).and_then(token) else { return };
        match (method, code) {
            ("INVITE", 200..=299) => self.on_invite_accepted(now, branch, cseq, message),
            ("INVITE" | "BYE" | "SUBSCRIBE" | "REFER", 100..=199) => self.on_provisional(now, branch, method),
            ("INVITE", _) => self.on_invite_refused(now, branch, cseq, code, phrase, message),
            ("BYE" | "SUBSCRIBE" | "REFER", _) => self.on_final(now, branch, code, phrase, message),
            _ => {}
        }
    }

    fn on_provisional(&mut self, now: Now, branch: Token, method: &str) {
        let Some(t) = self.transactions.get_mut(&branch) else { return };
        if t.progress != Progress::Calling || t.asked.method != method {
            return;
        }
        t.progress = Progress::Proceeding;
        if method == "INVITE" {
            t.repeat = None;
            t.expires = now + INVITE_WAIT;
            let at = t.expires;
            self.set_timer(at, Due::Transaction(branch));
        } else {
            t.interval = T2;
        }
    }

    fn on_invite_accepted(&mut self, now: Now, branch: Token, cseq: u32, message: &Incoming) {
        let id = message.header("Call-ID").and_then(token);
        let to_tag = message.header("To").and_then(|to| param(to, "tag"));
        let known = id.and_then(|id| self.dialogs.get_mut(&id).map(|d| (id, d)));
        let Some((id, dialog)) = known.filter(|(_, d)| d.kind == Kind::Call) else {
            return self.turn_away(message, cseq);
        };
        if dialog.stood && dialog.remote_tag.as_deref() == to_tag && self.transactions.contains_key(&branch) {
            return self.on_revised(id, branch, cseq, message);
        }
        if dialog.stood {
            // A repetition means that our ACK was lost; another tag is another callee of a fork.
            if dialog.remote_tag.as_deref() == to_tag {
                self.acknowledge(id, cseq);
            } else {
                self.turn_away(message, cseq);
            }
            return;
        }
        self.transactions.remove(&branch);
        dialog.learn(message, true);
        let closing = dialog.phase == Phase::Closing;
        dialog.phase = Phase::Up;
        dialog.stood = true;
        let Some(tag) = to_tag else {
            self.close(id, true, &CallError::BadAnswer("the answer has no tag"));
            return;
        };
        dialog.remote_tag = Some(tag.to_string());
        self.acknowledge(id, cseq);
        let answer = Answer::read(message);
        match answer.sdp.trim() {
            _ if closing => self.end(now, id),
            "" => {
                let error = CallError::BadAnswer("the answer has no session description");
                self.news.push_back(News::Failed(id, error));
                self.end(now, id);
            }
            _ => self.news.push_back(News::Answered(id, answer)),
        }
    }

    fn on_invite_refused(
        &mut self,
        now: Now,
        branch: Token,
        cseq: u32,
        code: u16,
        phrase: &str,
        message: &Incoming,
    ) {
        let Some(t) = self.transactions.get_mut(&branch) else { return };
        if t.progress == Progress::Completed {
            self.out.push_back(t.octets.clone());
            return;
        }
        let (id, asked) = (t.dialog, t.asked.clone());
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let to_tag = message.header("To").and_then(|to| param(to, "tag")).map(str::to_string);
        if !dialog.stood {
            dialog.remote_tag = to_tag;
        }
        let (stood, closing) = (dialog.stood, dialog.phase == Phase::Closing);
        let ack = self.render(id, "ACK", cseq, branch, "", "");
        self.out.push_back(ack.clone());
        if let Some(dialog) = self.dialogs.get_mut(&id).filter(|d| !d.stood) {
            dialog.remote_tag = None;
        }
        match self.prove(now, id, asked.clone(), code, phrase, message) {
            Ok(()) => {}
            Err(error) if stood => self.news.push_back(News::Revised(id, asked.number, Err(error))),
            Err(_) if closing => self.close(id, true, &CallError::Closed),
            Err(error) => self.close(id, true, &error),
        }
        if self.way.is_reliable() {
            self.transactions.remove(&branch);
        } else if let Some(t) = self.transactions.get_mut(&branch) {
            t.progress = Progress::Completed;
            t.octets = ack;
            t.repeat = None;
            t.expires = now + RESPONSE_WAIT;
            self.set_timer(now + RESPONSE_WAIT, Due::Transaction(branch));
        }
    }

    /// Asks again with proof of who we are, if that is what the refusal wants and we can.
    pub(super) fn prove(
        &mut self,
        now: Now,
        id: Token,
        mut asked: Asked,
        code: u16,
        phrase: &str,
        message: &Incoming,
    ) -> Result<(), CallError> {
        // Nobody waits for a call that is given up.
        let wanted = self.dialogs.get(&id).is_some_and(|d| d.stood || d.phase == Phase::Opening);
        if !matches!(code, 401 | 407) || !wanted {
            return Err(refusal(code, phrase, message));
        }
        let Some(proofs) = &mut asked.proofs else {
            return Err(CallError::PasswordWanted { realm: realm(code, message) });
        };
        proofs.take_up(code, message)?;
        self.send_asked(now, id, asked);
        Ok(())
    }

    /// A final response to BYE, SUBSCRIBE or REFER.
    fn on_final(&mut self, now: Now, branch: Token, code: u16, phrase: &str, message: &Incoming) {
        let Some(t) = self.transactions.remove(&branch) else { return };
        let id = t.dialog;
        if t.asked.method == "REFER" {
            return self.on_refer_answered(now, id, t.asked, code, phrase, message);
        }
        let mut error = refusal(code, phrase, message);
        if matches!(code, 401 | 407) {
            match self.prove(now, id, t.asked.clone(), code, phrase, message) {
                Ok(()) => return,
                Err(why) => error = why,
            }
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let opening = dialog.kind == Kind::Subscription && !dialog.stood;
        if t.asked.method == "BYE" || !(200..300).contains(&code) {
            return self.close(id, opening, &error);
        }
        dialog.stood = true;
        dialog.learn(message, true);
        if dialog.remote_tag.is_none() {
            let tag = message.header("To").and_then(|to| param(to, "tag"));
            dialog.remote_tag = tag.map(str::to_string);
        }
        match dialog.phase {
            Phase::Closing if opening => self.send_subscribe(now, id, 0),
            Phase::Closing => {
                self.close(id, false, &CallError::Closed);
            }
            Phase::Opening | Phase::Up => {
                dialog.phase = Phase::Up;
                let granted = message.header("Expires").and_then(|e| e.trim().parse().ok());
                let seconds: u64 = granted.unwrap_or(SUBSCRIBE_SECONDS).clamp(10, SUBSCRIBE_SECONDS);
                self.set_timer(now + Duration::from_secs(seconds * 4 / 5), Due::Refresh(id));
                if opening {
                    self.news.push_back(News::Subscribed(id));
                }
            }
        }
    }
}

// ---- requests in ------------------------------------------------------------------------------

impl Agent {
    pub(super) fn on_request(&mut self, method: &str, request: &Incoming) {
        if method == "ACK" {
            return;
        }
        let tag = self.entropy.token().to_string();
        let to_tag = request.header("To").and_then(|to| param(to, "tag"));
        let (code, phrase, extra) = match (self.find(request), request.cseq()) {
            (_, None) => (400, "Bad CSeq", String::new()),
            (None, _) => match (method, to_tag) {
                ("OPTIONS", None) => (200, "OK", ALLOW.to_string()),
                ("INVITE", None) => (480, "Calls are not taken here", String::new()),
                _ => (481, "Call/Transaction Does Not Exist", String::new()),
            },
            (Some(id), Some((cseq, _))) => self.in_dialog(id, cseq, method, request),
        };
        self.out.push_back(request.response(code, phrase, &tag, &extra));
    }

    /// The dialog a request belongs to: by Call-ID and both tags. A NOTIFY may come before the
    /// answer to SUBSCRIBE (RFC 6665 §4.1.2.4), then the remote tag is not known yet.
    fn find(&self, request: &Incoming) -> Option<Token> {
        let id = token(request.header("Call-ID")?)?;
        let dialog = self.dialogs.get(&id)?;
        let ours = param(request.header("To")?, "tag")?.as_bytes() == dialog.local_tag.as_bytes();
        let theirs = param(request.header("From")?, "tag")?;
        (ours && dialog.remote_tag.as_deref().is_none_or(|t| t == theirs)).then_some(id)
    }

    fn in_dialog(&mut self, id: Token, cseq: u32, method: &str, request: &Incoming) -> Reply {
        let none = String::new();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return (481, "No such call", none) };
        if dialog.remote_cseq.is_some_and(|last| cseq < last) {
            return (500, "CSeq out of order", none);
        }
        let repeated = dialog.remote_cseq.replace(cseq) == Some(cseq);
        match (method, dialog.kind) {
            ("BYE", Kind::Call) if dialog.phase != Phase::Opening => {
                let closing = dialog.phase == Phase::Closing;
                self.dialogs.remove(&id);
                let reason =
                    request.header("Reason").map(|r| quoted_text(r).unwrap_or_else(|| r.to_string()));
                let reason = reason.unwrap_or_else(|| "the server ended the call".to_string());
                self.news.push_back(if closing { News::Gone(id) } else { News::Ended(id, reason) });
                (200, "OK", none)
            }
            ("NOTIFY", Kind::Call) => self.on_report(id, request, repeated),
            ("NOTIFY", Kind::Subscription) => {
                if !repeated {
                    self.on_notify(id, request);
                }
                (200, "OK", none)
            }
            ("OPTIONS", _) => (200, "OK", ALLOW.to_string()),
            ("UPDATE", Kind::Call) if request.body.is_empty() => {
                (200, "OK", format!("Contact: <{}>\r\n", self.contact(id)))
            }
            ("INVITE" | "UPDATE", Kind::Call) => (488, "Not Acceptable Here", none),
            ("BYE" | "CANCEL", _) => (481, "Call/Transaction Does Not Exist", none),
            _ => (405, "Method Not Allowed", ALLOW.to_string()),
        }
    }

    fn on_notify(&mut self, id: Token, request: &Incoming) {
        if !request.body.is_empty() {
            self.news.push_back(News::Document(id, Bytes::copy_from_slice(&request.body)));
        }
        let state = request.header("Subscription-State").unwrap_or_default();
        if state.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("terminated") {
            let why = param(state, "reason").unwrap_or("the server ended the subscription").to_string();
            self.dialogs.remove(&id);
            self.news.push_back(News::Unsubscribed(id, why));
        } else if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.learn(request, false);
            if dialog.remote_tag.is_none() {
                let tag = request.header("From").and_then(|from| param(from, "tag"));
                dialog.remote_tag = tag.map(str::to_string);
            }
        }
    }
}

impl Dialog {
    /// Takes remote target and route set from the message that makes the dialog (RFC 3261 §12.1).
    pub(super) fn learn(&mut self, message: &Incoming, is_response: bool) {
        let contact = message.header("Contact").map(uri).filter(|u| is_sip_uri(u));
        if let Some(contact) = contact {
            self.target = Some(contact.to_string());
        }
        if self.remote_tag.is_none() {
            self.routes = message.all("Record-Route").flat_map(list).map(str::to_string).collect();
            if is_response {
                self.routes.reverse();
            }
        }
    }
}

impl Answer {
    pub(super) fn read(message: &Incoming) -> Self {
        // The other side's own identity stands in the second (RFC 3325), so only one of nobody in particular
        // can be ours.
        let associated = message.all("P-Associated-URI").flat_map(list).map(uri);
        let asserted = message.all("P-Asserted-Identity").flat_map(list).map(uri);
        let mut identities = associated.chain(asserted.filter(|u| is_nobody(u))).filter(|u| is_sip_uri(u));
        Self {
            sdp: String::from_utf8(message.body.clone()).unwrap_or_default(),
            identity: identities.next().map(str::to_string),
            warning: warning(message),
            contact: message.header("Contact").map(uri).filter(|u| is_sip_uri(u)).map(str::to_string),
        }
    }
}

pub(super) fn refusal(code: u16, phrase: &str, message: &Incoming) -> CallError {
    let rule = message.header("Room-Refusal").map(|token| token.trim().to_string());
    CallError::Refused { code, phrase: phrase.to_string(), warning: warning(message), rule }
}

fn warning(message: &Incoming) -> Option<String> {
    message.header("Warning").map(|w| quoted_text(w).unwrap_or_else(|| w.to_string()))
}
