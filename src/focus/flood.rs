//! Flood limits of what comes by SIP (SEC-07, D4, D5): calls, REFERs and SUBSCRIBEs of one user and from one address.
//!
//! An address is counted first, before anybody is asked for a password, since that is work too. A user is counted
//! when it is known who it is. As long as nobody proves that, a user is the name and the address it is used from:
//! else anybody could use up what is somebody else's. Who says no name is counted by address only.
//!
//! Too much is answered with 480, never 503: a proxy that gets a 503 takes this server for dead and sends nobody else
//! here for as long as Retry-After says (RFC 3261 §21.5.4), so that one who floods would shut out all others.
//!
//! Bounds: `limits::CALL_BUDGETS_MAX` users and as many addresses, see `base/budget.rs`. Proof: `tests/floods.rs`.

use super::signalling::Method;
use crate::base::address::Address;
use crate::base::budget::Budgets;
use crate::base::clock::Now;
use crate::base::flood::{Flood, Floods, Limits};
use crate::base::limits::CALL_BUDGETS_MAX;
use crate::base::refusal::Refusal;
use std::net::{IpAddr, Ipv6Addr};

/// A user, and where from if nobody proved to be that one.
type User = (Address, Option<IpAddr>);

/// What users and addresses have left.
pub(super) struct Guard {
    limits: Limits,
    joins: Budgets<User>,
    refers: Budgets<User>,
    subscriptions: Budgets<User>,
    addresses: Budgets<IpAddr>,
    /// What was refused.
    pub(super) floods: Floods,
}

impl Guard {
    pub(super) fn new(limits: Limits) -> Self {
        let budgets = || Budgets::new(CALL_BUDGETS_MAX);
        Self {
            limits,
            joins: budgets(),
            refers: budgets(),
            subscriptions: budgets(),
            addresses: Budgets::new(CALL_BUDGETS_MAX),
            floods: Floods::default(),
        }
    }

    /// A request that is no part of a call yet came from `address`.
    pub(super) fn address(&mut self, now: Now, address: IpAddr) -> Result<(), Refusal> {
        let Some(rate) = self.limits.of(Flood::Address) else { return Ok(()) };
        let budget = self.addresses.of(now, network(address));
        let outcome = budget.take(now, rate).map_err(|wait| Flood::Address.refusal(wait));
        outcome.inspect_err(|why| self.floods.note(*why))
    }

    /// `who` wants something by `method`; `from` where, if nobody proved to be that one.
    pub(super) fn user(
        &mut self,
        now: Now,
        method: Method,
        who: &Address,
        from: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        let (budgets, flood) = match method {
            Method::Invite => (&mut self.joins, Flood::Joins),
            Method::Refer => (&mut self.refers, Flood::Refers),
            Method::Subscribe => (&mut self.subscriptions, Flood::Subscriptions),
            _ => return Ok(()),
        };
        let Some(rate) = self.limits.of(flood) else { return Ok(()) };
        let budget = budgets.of(now, (who.clone(), from.map(network)));
        let outcome = budget.take(now, rate).map_err(|wait| flood.refusal(wait));
        outcome.inspect_err(|why| self.floods.note(*why))
    }
}

/// What one customer has: an IPv4 address, or 64 bits of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_an_address_or_a_network_of_64_bits() {
        let table = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
        ];
        for (address, one) in table {
            assert_eq!(network(address.parse().unwrap()), one.parse::<IpAddr>().unwrap(), "{address}");
        }
    }
}
