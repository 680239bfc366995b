//! Wrappers as peers write them, and as attackers do.
//!
//! In a message a line end stands for CRLF, `␊` for a bare line feed, `␍` for a bare carriage return,
//! `␉` for a tab, `␀` for NUL and `⍰` for an octet that is no UTF-8.

use openmsrp::wire::cpim::CpimError::{self, *};

/// What to call it, the message, and `from|name|to|number of To|type|content`.
pub(crate) type Case = (&'static str, &'static str, Result<&'static str, CpimError>);

pub(crate) const CASES: &[Case] = &[
    // CPIM-01
    (
        "the plain form",
        "From: Alice <sip:alice@example.com>\nTo: <sip:lobby@chat.example.com>\nDateTime: 2024-05-14T09:26:53Z\n\nContent-Type: text/plain;charset=UTF-8\n\nHello, room!",
        Ok("sip:alice@example.com|Alice|sip:lobby@chat.example.com|1|text/plain|Hello, room!"),
    ),
    (
        "no content",
        "From: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\n",
        Ok("sip:a@h||sip:r@h|1|text/plain|"),
    ),
    (
        "content with blank lines and headers of its own",
        "From: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\n\nFrom: <sip:b@h>\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|\r\nFrom: <sip:b@h>\r\n\r\nx"),
    ),
    (
        "MIME headers in any case and number",
        "From: <sip:a@h>\nTo: <sip:r@h>\n\nMIME-Version: 1.0\ncontent-TYPE:  Image/PNG ; name=\"a;b\"\nContent-ID: <1@h>\n\nx",
        Ok("sip:a@h||sip:r@h|1|Image/PNG|x"),
    ),
    (
        "the sample of RFC 3862",
        "From: MR SANDERS <im:piglet@100akerwood.com>\nTo: Depressed Donkey <im:eeyore@100akerwood.com>\nDateTime: 2000-12-13T13:40:00-08:00\nSubject: the weather will be fine today\nSubject:;lang=fr beau temps prevu pour aujourd'hui\nNS: MyFeatures <mid:MessageFeatures@id.foo.com>\nRequire: MyFeatures.VitalMessageOption\nMyFeatures.VitalMessageOption: Confirmation-requested\nMyFeatures.WackyMessageOption: Use-silly-font\n\nContent-type: text/xml; charset=utf-8\nContent-ID: <1234567890@foo.com>\n\n<body>\n</body>",
        Ok("im:piglet@100akerwood.com|MR SANDERS|im:eeyore@100akerwood.com|1|text/xml|<body>\r\n</body>"),
    ),
    // CPIM-01: a block of bare line feeds cannot be read
    (
        "bare LF among the message headers",
        "From: <sip:a@h>␊To: <sip:r@h>␊␊Content-Type: text/plain␊␊x",
        Err(BadLine),
    ),
    ("one bare LF", "From: <sip:a@h>\nTo: <sip:r@h>␊\nContent-Type: text/plain\n\nx", Err(BadLine)),
    ("bare LF as blank line", "From: <sip:a@h>\nTo: <sip:r@h>\n␊Content-Type: text/plain\n\nx", Err(BadLine)),
    (
        "bare CR",
        "From: <sip:a@h>␍To: <sip:r@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadLine),
    ),
    // The MIME part as sipsimple writes it
    (
        "bare LF between MIME headers",
        "From: \"Bob\" <sip:b@h>\nTo: <sip:r@h>\n\nMIME-Version: 1.0␊Content-Type: text/plain; charset=\"utf8\"␊␊hi␊you",
        Ok("sip:b@h|\"Bob\"|sip:r@h|1|text/plain|hi\nyou"),
    ),
    (
        "mixed ends in the MIME part",
        "From: <sip:b@h>\nTo: <sip:r@h>\n\nMIME-Version: 1.0␊Content-Type: text/html\n␊hi",
        Ok("sip:b@h||sip:r@h|1|text/html|hi"),
    ),
    (
        "folded type",
        "From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type:\n text/html;\n␉charset=utf-8\n\nhi",
        Ok("sip:b@h||sip:r@h|1|text/html|hi"),
    ),
    (
        "folded other header",
        "From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-ID: x\n text/html\nContent-Type: text/css\n\nhi",
        Ok("sip:b@h||sip:r@h|1|text/css|hi"),
    ),
    (
        "no Content-Type",
        "From: <sip:b@h>\nTo: <sip:r@h>\n\nMIME-Version: 1.0\n\nhi",
        Ok("sip:b@h||sip:r@h|1|text/plain|hi"),
    ),
    ("no MIME headers", "From: <sip:b@h>\nTo: <sip:r@h>\n\n\nhi", Ok("sip:b@h||sip:r@h|1|text/plain|hi")),
    ("text where MIME headers belong", "From: <sip:b@h>\nTo: <sip:r@h>\n\nhi there\n\nx", Err(BadHeader)),
    (
        "two types",
        "From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\nContent-Type: image/png\n\nx",
        Err(BadType),
    ),
    ("a type without subtype", "From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text\n\nx", Err(BadType)),
    ("an empty type", "From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: \n\nx", Err(BadType)),
    (
        "a type with a blank in it",
        "From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/pl ain\n\nx",
        Err(BadType),
    ),
    (
        "a control in a MIME header",
        "From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain␀\n\nx",
        Err(BadLine),
    ),
    // CPIM-11
    (
        "Content-Type in the first block",
        "From: <sip:a@h>\nTo: <sip:r@h>\nContent-Type: text/plain\n\nABCD",
        Ok("sip:a@h||sip:r@h|1|text/plain|ABCD"),
    ),
    (
        "the same, other case, no blank",
        "From: <sip:a@h>\ncontent-type:text/html;x=y\nTo: <sip:r@h>\n\nABCD\n\nE",
        Ok("sip:a@h||sip:r@h|1|text/html|ABCD\r\n\r\nE"),
    ),
    (
        "twice in the first block",
        "From: <sip:a@h>\nTo: <sip:r@h>\nContent-Type: text/plain\nContent-type: text/html\n\nx",
        Err(BadType),
    ),
    (
        "after the names left the namespace",
        "From: <sip:a@h>\nTo: <sip:r@h>\nNS: <urn:x>\nContent-Type: text/html\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/html|x"),
    ),
    // CPIM-02
    ("lower-case from", "from: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx", Err(Disguised)),
    (
        "no space after the colon",
        "From:<sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "two spaces after the colon",
        "From:  <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "a tab after the colon",
        "From:␉<sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadLine),
    ),
    (
        "a folded line",
        "From: Alice\n <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "a folded Subject",
        "From: <sip:a@h>\nTo: <sip:r@h>\nSubject: one\n two\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "a blank at the end",
        "From: <sip:a@h>\nTo: <sip:r@h>\nSubject: one \n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "an empty value",
        "From: <sip:a@h>\nTo: <sip:r@h>\nSubject: \n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "a line without colon",
        "From: <sip:a@h>\nTo: <sip:r@h>\nhello\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    ("no name", "From: <sip:a@h>\nTo: <sip:r@h>\n: x\n\nContent-Type: text/plain\n\nx", Err(BadHeader)),
    ("a space in a name", "From : <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx", Err(BadHeader)),
    (
        "an escape in a name",
        "Fr\\u006fm: <sip:b@h>\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "an empty prefix",
        ".From: <sip:b@h>\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "two dots in a name",
        "a.b.c: 1\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "parameters with quotes",
        "From: <sip:a@h>\nTo: <sip:r@h>\nSubject:;x=\"a \\\" b\";lang=en hi\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "a parameter that never ends",
        "From: <sip:a@h>\nTo: <sip:r@h>\nSubject:;x=\"a b c\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "From with parameters",
        "From:;x=\" <sip:b@h>\" <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadHeader),
    ),
    (
        "NUL in a header",
        "From: <sip:a@h>\nTo: <sip:r@h>\nSubject: a␀b\n\nContent-Type: text/plain\n\nx",
        Err(BadLine),
    ),
    (
        "no UTF-8 in a header",
        "From: <sip:a@h>\nTo: <sip:r@h>\nSubject: ⍰\n\nContent-Type: text/plain\n\nx",
        Err(Encoding),
    ),
    (
        "no UTF-8 in the content",
        "From: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\n⍰",
        Ok("sip:a@h||sip:r@h|1|text/plain|\u{fffd}"),
    ),
    (
        "a header after the blank line is none",
        "To: <sip:r@h>\n\nFrom: <sip:a@h>\nContent-Type: text/plain\n\nx",
        Err(NoFrom),
    ),
    // CPIM-03
    (
        "a quoted name with brackets",
        "From: \"Bob <sip:b@h>\" <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h|\"Bob <sip:b@h>\"|sip:r@h|1|text/plain|x"),
    ),
    (
        "a quoted name with quotes",
        "From: \"A \\\"x\\\" \\\\\"<sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h|\"A \\\"x\\\" \\\\\"|sip:r@h|1|text/plain|x"),
    ),
    (
        "a name in any script",
        "From: Jörg Müßig 🐇 <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h|Jörg Müßig 🐇|sip:r@h|1|text/plain|x"),
    ),
    (
        "a name that should be quoted",
        "From: Bob (at work), Ltd. <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h|Bob (at work), Ltd.|sip:r@h|1|text/plain|x"),
    ),
    ("no brackets", "From: sip:a@h\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx", Err(BadAddress)),
    (
        "two addresses",
        "From: <sip:a@h> <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "two addresses and a comma",
        "From: <sip:a@h>, <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "text after the address",
        "From: <sip:a@h>;tag=1\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "text after the quoted name",
        "From: \"A\" B <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "a quote that never ends",
        "From: \"A <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "a quote within words",
        "From: A \"B\" <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    ("an empty address", "From: Alice <>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx", Err(BadAddress)),
    (
        "brackets in brackets",
        "From: <<sip:a@h>>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "an escape in the address",
        "From: <sip:\\u0061@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "a blank in the address",
        "From: <sip:a@h x>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    // CPIM-04, SEC-03
    (
        "From through a prefix",
        "NS: p <urn:ietf:params:cpim-headers:>\np.From: <sip:b@h>\np.To: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:b@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "a second From through a prefix",
        "NS: p <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\np.From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(ManyFrom),
    ),
    (
        "a second To through a prefix",
        "NS: p <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\nTo: <sip:r@h>\np.To: <sip:b@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|2|text/plain|x"),
    ),
    (
        "a From taken out of the namespace",
        "To: <sip:r@h>\nNS: <urn:other>\nFrom: <sip:a@h>\n\nContent-Type: text/plain\n\nx",
        Err(Disguised),
    ),
    (
        "a foreign From beside the own",
        "From: <sip:a@h>\nTo: <sip:r@h>\nNS: <urn:other>\nFrom: <sip:b@h>\n\nContent-Type: text/plain\n\nx",
        Err(Disguised),
    ),
    (
        "a foreign To beside the own",
        "From: <sip:a@h>\nTo: <sip:r@h>\nNS: <urn:other>\nTo: <sip:b@h>\n\nContent-Type: text/plain\n\nx",
        Err(Disguised),
    ),
    (
        "the namespace left and entered again",
        "NS: <urn:other>\nX: y\nNS: <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "a prefix bound to something else later",
        "NS: p <urn:ietf:params:cpim-headers:>\nNS: p <urn:other>\nFrom: <sip:a@h>\np.From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "a prefix declared by a prefixed NS",
        "NS: p <urn:ietf:params:cpim-headers:>\np.NS: q <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\nq.From: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(ManyFrom),
    ),
    (
        "a prefix used before it is declared",
        "p.From: <sip:b@h>\nNS: p <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "a prefix never declared",
        "From: <sip:a@h>\nTo: <sip:r@h>\np.From: <sip:b@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "case through a prefix",
        "NS: p <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\np.FROM: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(Disguised),
    ),
    (
        "a lower-case from beside the own",
        "From: <sip:a@h>\nfrom: <sip:b@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(Disguised),
    ),
    (
        "an upper-case TO beside the own",
        "From: <sip:a@h>\nTo: <sip:r@h>\nTO: <sip:b@h>\n\nContent-Type: text/plain\n\nx",
        Err(Disguised),
    ),
    (
        "NS without brackets",
        "NS: urn:other\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(BadAddress),
    ),
    (
        "too many prefixes",
        "NS: a <urn:ietf:params:cpim-headers:>\nNS: b <urn:ietf:params:cpim-headers:>\nNS: c <urn:ietf:params:cpim-headers:>\nNS: d <urn:ietf:params:cpim-headers:>\nNS: e <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(ManyPrefixes),
    ),
    (
        "one prefix again and again",
        "NS: a <urn:ietf:params:cpim-headers:>\nNS: a <urn:ietf:params:cpim-headers:>\nNS: a <urn:ietf:params:cpim-headers:>\nNS: a <urn:ietf:params:cpim-headers:>\nNS: a <urn:ietf:params:cpim-headers:>\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    // CPIM-06, CPIM-07, IMDN-01
    (
        "unknown headers and Require",
        "From: <sip:a@h>\nTo: <sip:r@h>\nNS: x1 <urn:ietf:params:imdn>\nx1.Message-ID: 34jk324j\nx1.Disposition-Notification: positive-delivery, display\nX-Odd: \\q\"<;\nRequire: x1.Magic\nSubject: a\nSubject: b\n\nContent-Type: message/imdn+xml\n\nx",
        Ok("sip:a@h||sip:r@h|1|message/imdn+xml|x"),
    ),
    // CPIM-08
    (
        "cc is not To",
        "From: <sip:a@h>\nTo: <sip:r@h>\ncc: <sip:b@h>\nCC: <sip:c@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    (
        "a cc that cannot be read",
        "From: <sip:a@h>\nTo: <sip:r@h>\ncc: everybody\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|1|text/plain|x"),
    ),
    // CHAT-MSG-05, CHAT-MSG-06
    (
        "two To",
        "From: <sip:a@h>\nTo: <sip:r@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Ok("sip:a@h||sip:r@h|2|text/plain|x"),
    ),
    ("no From", "To: <sip:r@h>\n\nContent-Type: text/plain\n\nx", Err(NoFrom)),
    ("no To", "From: <sip:a@h>\n\nContent-Type: text/plain\n\nx", Err(NoTo)),
    (
        "two From",
        "From: <sip:a@h>\nFrom: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n\nx",
        Err(ManyFrom),
    ),
    ("nothing", "", Err(Truncated)),
    ("an empty first block", "\nContent-Type: text/plain\n\nx", Err(NoFrom)),
    ("the end within the message headers", "From: <sip:a@h>\nTo: <sip:r@h>\n", Err(Truncated)),
    (
        "the end within the MIME headers",
        "From: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: text/plain\n",
        Err(Truncated),
    ),
    // CPIM-10
    (
        "a wrapper in a wrapper",
        "From: <sip:a@h>\nTo: <sip:r@h>\n\nContent-Type: message/cpim\n\nFrom: <sip:b@h>\nTo: <sip:a@h>\n\nContent-Type: text/plain\n\nx",
        Ok(
            "sip:a@h||sip:r@h|1|message/cpim|From: <sip:b@h>\r\nTo: <sip:a@h>\r\n\r\nContent-Type: text/plain\r\n\r\nx",
        ),
    ),
];
