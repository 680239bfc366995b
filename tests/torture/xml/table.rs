//! Rosters as servers write them, and as attackers do.
//!
//! In a document `§` stands for the beginning of a root element with its namespaces, entity and version 1, `¶`
//! for its end tag, `␀` for NUL and `⍰` for an octet that is no UTF-8.

/// What to call it, the document, and what it says: state, version, entity, then what is told of the room,
/// its users (after `|`) and their endpoints (after `>`), and of other rooms (after `+`); or the error.
pub(crate) type Case = (&'static str, &'static str, &'static str);

const ROOT: &str = concat!(
    r#"<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" "#,
    r#"xmlns:x="urn:ietf:params:xml:ns:xcon-conference-info" entity="sip:r@h" version="1""#
);

/// The octets of a document.
pub(crate) fn document(text: &str) -> Vec<u8> {
    let text = text.replace('§', ROOT).replace('¶', "</conference-info>").replace('␀', "\0");
    let mut out = Vec::new();
    for c in text.chars() {
        match c {
            '⍰' => out.push(0xff),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    // ---- what is read ------------------------------------------------------------------------
    ("the smallest document", "§/>", "Full 1 sip:r@h"),
    ("the smallest with an end tag", "§>¶", "Full 1 sip:r@h"),
    ("a byte order mark and a declaration", "\u{feff}<?xml version='1.0'?>\n§/>", "Full 1 sip:r@h"),
    ("comments and instructions everywhere", "<!-- a --><?b?>§><!-- <users> --><?c <users>?>¶<!-- d -->\n<?e?>", "Full 1 sip:r@h"),
    ("the room and its number of users", "§><conference-description><display-text>Lobby</display-text><subject>All &amp; sundry</subject></conference-description><conference-state><user-count>2</user-count></conference-state>¶", "Full 1 sip:r@h text=Lobby subject=All & sundry count=2"),
    ("a user with an endpoint", "§><users><user entity='sip:a@h'><display-text>A</display-text><endpoint entity='sip:a@pc'><status>connected</status><joining-method>dialed-in</joining-method><media id='1'><type>message</type></media></endpoint></user></users>¶", "Full 1 sip:r@h users=Full | sip:a@h Full text=A > sip:a@pc Full status=connected by=dialed-in message"),
    ("a partial document with a leaver", "§ state='partial'><users state='partial'><user entity='sip:a@h' state='deleted'/></users>¶", "Partial 1 sip:r@h users=Partial | sip:a@h Deleted"),
    ("other rooms, with a note", "§><conference-description><free-text>The 2 largest</free-text></conference-description><sidebars-by-val><entry entity='sip:l@h'><conference-description><display-text>l</display-text><subject>Tea &lt;3</subject></conference-description><conference-state><user-count>7</user-count></conference-state></entry><entry/></sidebars-by-val>¶", "Full 1 sip:r@h note=The 2 largest + sip:l@h text=l subject=Tea <3 count=Some(7) +  text= subject= count=None"),
    ("a room's own words are not another's", "§><sidebars-by-val><entry entity='sip:l@h'><users><user entity='sip:a@h'/></users><conference-state><user-count>-1</user-count></conference-state></entry></sidebars-by-val>¶", "Full 1 sip:r@h + sip:l@h text= subject= count=None"),
    ("a deleted conference", "§ state='deleted'/>", "Deleted 1 sip:r@h"),
    ("a state that nobody knows is full", "§ state='PARTIAL'/>", "Full 1 sip:r@h"),
    ("a nickname of the XCON namespace", "§><users><user entity='sip:a@h' x:nickname='&lt;Al&gt;'/></users>¶", "Full 1 sip:r@h users=Full | sip:a@h Full nick=<Al>"),
    ("nicknames of other namespaces are none", "§ xmlns:y='urn:y'><users><user entity='sip:a@h' y:nickname='no' nickname='no'/></users>¶", "Full 1 sip:r@h users=Full | sip:a@h Full"),
    ("a prefix bound anew counts where it stands", "§><users><user xmlns:x='urn:y' entity='sip:a@h' x:nickname='no'/><user entity='sip:b@h' x:nickname='yes'/></users>¶", "Full 1 sip:r@h users=Full | sip:a@h Full | sip:b@h Full nick=yes"),
    ("elements of a foreign default namespace are skipped", "§><users xmlns='urn:y'><user entity='sip:a@h'/></users>¶", "Full 1 sip:r@h"),
    ("unknown elements are skipped with all in them", "§><host-info><users><user entity='sip:a@h'/></users></host-info>¶", "Full 1 sip:r@h"),
    ("users within users are none", "§><users><user entity='sip:a@h'><users><user entity='sip:b@h'/></users></user></users>¶", "Full 1 sip:r@h users=Full | sip:a@h Full"),
    ("a user outside of the list is none", "§><user entity='sip:a@h'/>¶", "Full 1 sip:r@h"),
    ("a name in pieces of all kinds", "§><users><user entity='a'><display-text>a<!-- - -->b<![CDATA[<c>]]>&#100;<?e?>&#x66;</display-text></user></users>¶", "Full 1 sip:r@h users=Full | a Full text=ab<c>df"),
    ("elements within a name count for nothing", "§><users><user entity='a'><display-text>a<b>c</b></display-text></user></users>¶", "Full 1 sip:r@h users=Full | a Full text="),
    ("all five entities, and quotes of the other kind", "§><users><user entity='&amp;&lt;&gt;&quot;&apos;\"'/></users>¶", "Full 1 sip:r@h users=Full | &<>\"'\" Full"),
    ("an escaped entity is not decoded twice", "§><users><user entity='&amp;lt;'/></users>¶", "Full 1 sip:r@h users=Full | &lt; Full"),
    ("a user without a name of its own", "§><users><user/></users>¶", "Full 1 sip:r@h users=Full |  Full"),
    ("a number of users that is none is not told", "§><conference-state><user-count>many</user-count></conference-state>¶", "Full 1 sip:r@h"),
    ("blanks within tags", "§\n\t><users\r\n><user\tentity = 'a'\n/></users\n></conference-info\t>", "Full 1 sip:r@h users=Full | a Full"),
    ("one medium that is a message among others", "§><users><user entity='a'><endpoint entity='b'><media id='1'><type>audio</type></media><media id='2'><type>Message</type></media></endpoint></user></users>¶", "Full 1 sip:r@h users=Full | a Full > b Full message"),
    // ---- what is refused ---------------------------------------------------------------------
    ("nothing", "", "Syntax"),
    ("a document of another kind", "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='a' version='1'/>", "OtherDocument"),
    ("the right name in no namespace", "<conference-info entity='a' version='1'/>", "OtherDocument"),
    ("a version that is none", "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='a' version='x'/>", "OtherDocument"),
    ("a version beyond 32 bits", "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='a' version='4294967296'/>", "OtherDocument"),
    ("a billion laughs", "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>§>&b;¶", "Forbidden"),
    ("a file of the system", "<!DOCTYPE l [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>§>&a;¶", "Forbidden"),
    ("a DTD within the root", "§><!ELEMENT a ANY>¶", "Forbidden"),
    ("an entity of HTML", "§>&nbsp;¶", "Forbidden"),
    ("a reference to NUL", "§>&#0;¶", "Encoding"),
    ("a reference to a surrogate", "§>&#xD800;¶", "Encoding"),
    ("a reference beyond Unicode", "§>&#x110000;¶", "Encoding"),
    ("a reference beyond 32 bits", "§>&#99999999999;¶", "Syntax"),
    ("a reference without digits", "§>&#x;¶", "Syntax"),
    ("NUL", "§>␀¶", "Encoding"),
    ("an octet that is no UTF-8", "§>⍰¶", "Encoding"),
    ("an end tag that is missing", "§><users>", "Syntax"),
    ("end tags crossed", "§><users><user entity='a'></users></user>¶", "Syntax"),
    ("an end tag of another prefix", "§ xmlns:c='urn:ietf:params:xml:ns:conference-info'><c:users></users>¶", "Syntax"),
    ("a prefix that was never bound", "§><y:users/>¶", "Syntax"),
    ("an attribute twice", "§><users state='full' state='partial'/>¶", "Syntax"),
    ("an attribute without quotes", "§><users state=full/>¶", "Syntax"),
    ("attributes that touch", "§><users state='full'a='b'/>¶", "Syntax"),
    ("an attribute that never ends", "§><users state='full>¶", "Syntax"),
    ("markup in an attribute", "§><users state='<'/>¶", "Syntax"),
    ("a comment that never ends", "§><!-- ¶", "Syntax"),
    ("text before the root", "hello §/>", "Syntax"),
    ("text after the root", "§/>hello", "Syntax"),
    ("two roots", "§/>§/>", "Syntax"),
    ("CDATA after the root", "§/><![CDATA[x]]>", "Syntax"),
    ("an ampersand alone", "§>a & b¶", "Syntax"),
    ("elements too deep", "§><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a>¶", "TooDeep"),
];
