//! What those who are called together may know of each other.

use super::*;

#[test]
fn who_is_on_a_list_is_told_of_the_others_as_the_creator_wants_it() {
    // LIST-02
    let mut w = World::new();
    let entry = |uri: &str, control: &str| {
        format!("<entry xmlns:cp=\"urn:ietf:params:xml:ns:copycontrol\" uri=\"{uri}\"{control}/>")
    };
    let entries = [
        entry("sip:bill@192.0.2.7;method=INVITE?Priority=urgent", " cp:copyControl=\"to\""),
        entry("sip:randy@192.0.2.8", " cp:copyControl=\"cc\" cp:anonymize=\"true\""),
        entry("sip:ted@192.0.2.9", ""),
    ];
    w.request(&listing(LISTED, &entries.concat()));
    let alice = w.join();
    w.grant(alice.endpoint);
    assert_eq!(w.response().code, 200);
    let joins: Vec<EndpointId> = w
        .told
        .drain(..)
        .map(|m| match m {
            ToShard::Join(join) => join.endpoint,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(joins.len(), 3);
    for endpoint in joins {
        w.grant(endpoint);
        let (_, invite) = w.sent();
        let kind = invite.headers.get("Content-Type").unwrap();
        let boundary =
            kind.strip_prefix("multipart/mixed;boundary=\"").and_then(|k| k.strip_suffix('"')).unwrap();
        let parts: Vec<&str> = invite.body.split(&format!("--{boundary}")).collect();
        assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"), "{}", invite.body);
        assert!(parts[1].starts_with("\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"), "{}", parts[1]);
        let head = "\r\nContent-Type: application/resource-lists+xml\r\n\
                    Content-Disposition: recipient-list-history; handling=optional\r\n\r\n<?xml ";
        assert!(parts[2].starts_with(head), "{}", parts[2]);
        assert!(
            parts[2].contains("<entry uri=\"sip:bill@192.0.2.7\" cp:copyControl=\"to\"/>"),
            "{}",
            parts[2]
        );
        assert!(
            parts[2]
                .contains("uri=\"sip:anonymous@anonymous.invalid\" cp:copyControl=\"cc\" cp:count=\"1\"/>")
        );
        assert!(!parts[2].contains("randy") && !parts[2].contains("ted@") && !parts[2].contains("urgent"));
    }
}

#[test]
fn who_is_called_with_blind_copies_only_gets_an_offer_and_nothing_else() {
    // LIST-02
    let mut w = World::new();
    w.request(&listing(LISTED, TWO));
    let alice = w.join();
    w.grant(alice.endpoint);
    w.responses.clear();
    let endpoint = w.told.iter().find_map(|m| if let ToShard::Join(j) = m { Some(j.endpoint) } else { None });
    w.grant(endpoint.unwrap());
    let (_, invite) = w.sent();
    assert_eq!(invite.headers.get("Content-Type"), Some("application/sdp"));
    assert!(!invite.body.contains("joe"), "{}", invite.body);
}
