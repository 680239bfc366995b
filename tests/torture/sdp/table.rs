//! Session descriptions as the samples of the RFCs, the programs in the field and attackers write them.
//!
//! A line end stands for CRLF, `␊` for a bare line feed, `␀` for NUL, `␍` for a bare carriage return.

/// What to call it, the description, and what is expected: the media lines separated by ` / `, then
/// ` => ` and the line that a chat room takes or why there is none; or the error.
pub(crate) type Case = (&'static str, &'static str, &'static str);

/// A message line with path and types, to build on.
macro_rules! sdp {
    ($($more:literal),*) => {
        concat!("v=0\no=a 1 1 IN IP4 h\ns=-\nc=IN IP4 h\nt=0 0\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n", $($more),*)
    };
}

/// The same with one line instead of path and types.
macro_rules! bare {
    ($($more:literal),*) => { concat!("v=0\no=a 1 1 IN IP4 h\ns=-\nt=0 0\n", $($more),*) };
}

pub(crate) const CASES: &[Case] = &[
    // SDP-20: samples of the RFCs
    (
        "4975 §8.2",
        "v=0\no=alice 2890844526 2890844527 IN IP4 alice.example.com\ns= -\nc=IN IP4 alice.example.com\nt=0 0\nm=message 7394 TCP/MSRP *\na=accept-types:text/plain\na=path:msrp://alice.example.com:7394/2s93i9ek2a;tcp\n",
        "msg 7394 types=text/plain => NotCpim",
    ),
    (
        "4975 §8.7",
        "v=0\no=usera 2890844526 2890844527 IN IP4 alice.example.com\ns= -\nc=IN IP4 alice.example.com\nt=0 0\nm=message 7394 TCP/MSRP *\na=accept-types:message/cpim text/plain text/html\na=path:msrp://alice.example.com:7394/2s93i93idj;tcp\n",
        "msg 7394 types=message/cpim,text/plain,text/html => 0",
    ),
    (
        "4975 §4, a fragment",
        "c=IN IP4 atlanta.example.com\nm=message 7654 TCP/MSRP *\na=accept-types:text/plain\na=path:msrp://atlanta.example.com:7654/jshA7weztas;tcp\n",
        "msg 7654 types=text/plain => NotCpim",
    ),
    (
        "4975 §14.4",
        "c=IN IP4 atlanta.example.com\nm=message 7654 TCP/TLS/MSRP *\na=accept-types:text/plain\na=path:msrps://atlanta.example.com:7654/jshA7weso3ks;tcp\na=fingerprint:SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\n",
        "msg 7654 tls types=text/plain fp=sha-1/20 => NotCpim",
    ),
    (
        "4976 §11",
        "c=IN IP4 a.example.com\nm=message 1234 TCP/MSRP *\na=accept-types: message/cpim text/plain text/html\na=path:msrp://a.example.com:1234/agic456;tcp\n",
        "msg 1234 types=message/cpim,text/plain,text/html => 0",
    ),
    (
        "4976 §11, the answer",
        "c=IN IP4 bob.example.com\nm=message 1234 TCP/TLS/MSRP *\na=accept-types: message/cpim text/plain\na=path:msrps://relay.example.com:9000/hjdhfha;tcp  msrps://bob.example.com:1234/fuige;tcp\n",
        "msg 1234 tls types=message/cpim,text/plain path=2 => 0",
    ),
    (
        "7701 §9.1",
        "v=0\no=alice 2890844526 2890844526 IN IP4 client.atlanta.example.com\ns=-\nc=IN IP4 client.atlanta.example.com\nm=message 7654 TCP/MSRP *\na=accept-types:message/cpim text/plain text/html\na=path:msrp://client.atlanta.example.com:7654/jshA7weztas;tcp\na=chatroom:nickname private-messages\n",
        "msg 7654 types=message/cpim,text/plain,text/html room=nick+pm => 0",
    ),
    (
        "7701 §9.1, the answer",
        "v=0\no=chat 2890844527 2890844527 IN IP4 chat.example.com\ns=-\nc=IN IP4 chat.example.com\nm=message 12763 TCP/MSRP *\na=accept-types:message/cpim\na=accept-wrapped-types:text/plain text/html *\na=path:msrp://chat.example.com:12763/kjhd37s2s20w2a;tcp\na=chatroom:nickname private-messages\n",
        "msg 12763 types=message/cpim wrapped=* room=nick+pm => 0",
    ),
    (
        "the sipsimple SDK",
        "v=0\no=- 3924670013 3924670013 IN IP4 192.0.2.7\ns=Blink 5.1\nt=0 0\nm=message 2855 TCP/TLS/MSRP *\nc=IN IP4 192.0.2.7\na=path:msrps://192.0.2.7:2855/2d0a3e0f9b6c4a7f8e11;tcp\na=accept-types:message/cpim text/* image/* application/im-iscomposing+xml\na=accept-wrapped-types:text/* image/* application/im-iscomposing+xml\na=setup:active\n",
        "msg 2855 tls types=message/cpim,text/*,image/*,application/im-iscomposing+xml wrapped=text/*,image/*,application/im-iscomposing+xml setup=active => 0",
    ),
    // SDP-20: what is tolerated
    (
        "no t=",
        "v=0\no=a 1 1 IN IP4 h\ns=-\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n",
        "msg 7 types=message/cpim => 0",
    ),
    (
        "bare line feeds",
        "v=0␊o=a 1 1 IN IP4 h␊s=-␊m=message 7 TCP/MSRP *␊a=accept-types:message/cpim␊a=path:msrp://h:7/s;tcp␊",
        "msg 7 types=message/cpim => 0",
    ),
    (
        "no line end at the end",
        "v=0\ns=-\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp",
        "msg 7 types=message/cpim => 0",
    ),
    (
        "blanks after every colon and at line ends",
        bare!(
            "m=message 7 TCP/MSRP *  \na=accept-types:  message/cpim \na=path: msrp://h:7/s;tcp\t\na=setup: passive\na=max-size: 10\na=chatroom: nickname\n"
        ),
        "msg 7 types=message/cpim setup=passive max=10 room=nick => 0",
    ),
    (
        "a t= that is nonsense",
        "v=0\no=a 1 1 IN IP4 h\ns=-\nt=now then\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n",
        "msg 7 types=message/cpim => 0",
    ),
    (
        "lines nobody knows",
        sdp!("b=AS:x\nk=prompt\nq=1\ni=chat\nz=1\nr=1\n"),
        "msg 7 types=message/cpim => 0",
    ),
    ("c= twice, and nonsense", sdp!("c=nonsense\nc=IN IP4 x\n"), "msg 7 types=message/cpim => 0"),
    (
        "attributes nobody knows",
        sdp!("a=x-unknown\na=:\na=\u{e4}:\u{f6}\na=x:y:z\n"),
        "msg 7 types=message/cpim => 0",
    ),
    (
        "attribute names in another case",
        bare!("m=MESSAGE 7 tcp/msrp *\na=Accept-Types:message/cpim\na=PATH:msrp://h:7/s;tcp\na=SendOnly\n"),
        "msg 7 types=message/cpim dir=sendonly => 0",
    ),
    (
        "a connection attribute",
        sdp!("a=connection:new\na=setup:actpass\n"),
        "msg 7 types=message/cpim setup=actpass => 0",
    ),
    // What is no description
    ("nothing", "", "error: Empty"),
    ("only line ends", "\n\n", "error: Empty"),
    ("another version", "v=1\nm=message 7 TCP/MSRP *\n", "error: Syntax"),
    ("no lines of a description", "hello\n", "error: Syntax"),
    ("a key of two letters", "v=0\nmm=message\n", "error: Syntax"),
    ("NUL", "v=0\na=x␀y\n", "error: Control"),
    ("a control in a media line", "v=0\nm=message 7 TCP/MSRP \u{b}\n", "error: Control"),
    ("a tab in a media line", "v=0\nm=message␉7 TCP/MSRP *\n", "error: Control"),
    ("a carriage return in a line", "v=0\na=x␍y\n", "error: Control"),
    ("a media line without port", bare!("m=message\n"), "error: Syntax"),
    ("a port that is no number", bare!("m=message x TCP/MSRP *\n"), "error: Syntax"),
    ("a port too large", bare!("m=message 65536 TCP/MSRP *\n"), "error: Syntax"),
    ("an origin with a version that is no number", "v=0\no=a 1 x IN IP4 h\ns=-\n", "error: Syntax"),
    ("two origins", "v=0\no=a 1 1 IN IP4 h\no=a 1 1 IN IP4 h\n", "error: Syntax"),
    // SDP-02
    ("no path", bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\n"), "refused NoPath => NoPath"),
    (
        "an empty path",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:\n"),
        "refused NoPath => NoPath",
    ),
    (
        "no accept-types",
        bare!("m=message 7 TCP/MSRP *\na=path:msrp://h:7/s;tcp\n"),
        "refused NoAcceptTypes => NoAcceptTypes",
    ),
    (
        "path and types at session level do not count",
        bare!("a=path:msrp://h:7/s;tcp\na=accept-types:*\nm=message 7 TCP/MSRP *\n"),
        "refused NoPath => NoPath",
    ),
    // MSRP-URI-01, MSRP-URI-02, SDP-02: what is no path
    (
        "a path without port",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h/s;tcp\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a path without transport",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a path that is a web page",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:http://h:7/s;tcp\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a path with a password",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://u:p@h:7/s;tcp\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a path without host",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://:7/s;tcp\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a path with IPv6 without brackets",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://::1:7/s;tcp\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a path with a port too large",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:70000/s;tcp\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a good URI, then a bad one",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp x\n"),
        "refused BadPath => BadPath",
    ),
    (
        "a path with IPv6",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://[::1]:7/s;tcp\n"),
        "msg 7 types=message/cpim => 0",
    ),
    (
        "a path with a user and parameters",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://u@h:7/s/t;ws;x=y\n"),
        "msg 7 types=message/cpim => 0",
    ),
    // SDP-03
    (
        "an address that differs from the path",
        "v=0\no=a 1 1 IN IP4 h\ns=-\nc=IN IP4 evil.example\nt=0 0\nm=message 9 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n",
        "msg 9 types=message/cpim => 0",
    ),
    // SDP-04
    (
        "msrps without TLS",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrps://h:7/s;tcp\n"),
        "refused SchemeMismatch => SchemeMismatch",
    ),
    (
        "msrp with TLS",
        bare!("m=message 7 TCP/TLS/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n"),
        "refused SchemeMismatch => SchemeMismatch",
    ),
    (
        "another scheme behind the first",
        bare!(
            "m=message 7 TCP/TLS/MSRP *\na=accept-types:message/cpim\na=path:msrps://r:7/s;tcp msrp://h:7/s;tcp\n"
        ),
        "msg 7 tls types=message/cpim path=2 => 0",
    ),
    (
        "another transport",
        bare!("m=message 7 TCP/WS/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;ws\n"),
        "refused Transport => Transport",
    ),
    // SDP-05, SDP-07
    (
        "port 0",
        bare!("m=message 0 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n"),
        "refused Closed => Closed",
    ),
    ("no media", bare!(""), "=> NoMessageMedia"),
    ("audio alone", bare!("m=audio 49170/2 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\n"), "other => NoMessageMedia"),
    (
        "audio, a bad line, a good one, something unknown",
        bare!(
            "m=audio 1 RTP/AVP 0\nm=message 7 TCP/MSRP *\na=accept-types:text/plain\na=path:msrp://h:7/s;tcp\nm=message 8 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:8/s;tcp\nm=x 9 y z\n"
        ),
        "other / msg 7 types=text/plain / msg 8 types=message/cpim / other => 2",
    ),
    (
        "several wrong lines: the first is told",
        bare!(
            "m=message 7 TCP/MSRP *\na=accept-types:text/plain\na=path:msrp://h:7/s;tcp\nm=message 0 TCP/MSRP *\n"
        ),
        "msg 7 types=text/plain / refused Closed => NotCpim",
    ),
    // SDP-08, CHAT-JOIN-01
    (
        "message/cpim in another case",
        bare!(
            "m=message 7 TCP/MSRP *\na=accept-types:Message/CPIM;x=y TEXT/plain\na=path:msrp://h:7/s;tcp\n"
        ),
        "msg 7 types=message/cpim,text/plain => 0",
    ),
    (
        "everything accepted",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:text/plain *\na=path:msrp://h:7/s;tcp\n"),
        "msg 7 types=* => 0",
    ),
    (
        "every message type accepted",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:message/*\na=path:msrp://h:7/s;tcp\n"),
        "msg 7 types=message/* => 0",
    ),
    (
        "text/* alone",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:text/* text/* cpim /x x/\na=path:msrp://h:7/s;tcp\n"),
        "msg 7 types=text/* => NotCpim",
    ),
    (
        "accept-types without any type",
        bare!("m=message 7 TCP/MSRP *\na=accept-types:\na=path:msrp://h:7/s;tcp\n"),
        "msg 7 types= => NotCpim",
    ),
    // SDP-10
    ("a limit", sdp!("a=max-size:10485760\n"), "msg 7 types=message/cpim max=10485760 => 0"),
    ("a limit that is no number", sdp!("a=max-size:-1\n"), "msg 7 types=message/cpim => 0"),
    (
        "a limit beyond all numbers",
        sdp!("a=max-size:99999999999999999999999\n"),
        "msg 7 types=message/cpim => 0",
    ),
    // SDP-11
    ("recvonly", sdp!("a=recvonly\n"), "msg 7 types=message/cpim dir=recvonly => 0"),
    (
        "inactive for the session",
        bare!("a=inactive\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n"),
        "msg 7 types=message/cpim dir=inactive => 0",
    ),
    (
        "the media line wins",
        bare!(
            "a=inactive\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\na=sendrecv\n"
        ),
        "msg 7 types=message/cpim => 0",
    ),
    ("sendonly with a value is another attribute", sdp!("a=sendonly:x\n"), "msg 7 types=message/cpim => 0"),
    // SDP-12
    ("holdconn", sdp!("a=setup:holdconn\n"), "msg 7 types=message/cpim => 0"),
    (
        "setup for the session",
        bare!(
            "a=setup:active\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n"
        ),
        "msg 7 types=message/cpim setup=active => 0",
    ),
    // SDP-17
    ("CEMA", sdp!("a=msrp-cema\n"), "msg 7 types=message/cpim cema => 0"),
    // SDP-18
    (
        "fingerprints of the line win, MD5 is none",
        bare!(
            "a=fingerprint:sha-256 AA\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\na=fingerprint:md5 AA:BB\na=fingerprint:SHA-384 0a:bB:CC\na=fingerprint:sha-512 +1\na=fingerprint:x\n"
        ),
        "msg 7 types=message/cpim fp=sha-384/3 => 0",
    ),
    (
        "a fingerprint of the session",
        bare!(
            "a=fingerprint:sha-256 AA:BB\nm=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\n"
        ),
        "msg 7 types=message/cpim fp=sha-256/2 => 0",
    ),
    // SDP-21
    (
        "a file and a chat",
        bare!(
            "m=message 7 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:7/s;tcp\na=sendonly\na=file-selector:name:\"a b.png\" type:image/png size:4092\na=file-transfer-id:x1\nm=message 8 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://h:8/s;tcp\n"
        ),
        "msg 7 types=message/cpim dir=sendonly file / msg 8 types=message/cpim => 1",
    ),
    (
        "a file alone",
        sdp!("a=file-selector:hash:sha-1:AA\n"),
        "msg 7 types=message/cpim file => FileTransfer",
    ),
    // CHAT-JOIN-04
    ("chatroom without tokens", sdp!("a=chatroom\n"), "msg 7 types=message/cpim room= => 0"),
    ("chatroom with an empty list", sdp!("a=chatroom:\n"), "msg 7 types=message/cpim room= => 0"),
    (
        "nicknames, the other spelling",
        sdp!("a=chatroom:nicknames\n"),
        "msg 7 types=message/cpim room=nick => 0",
    ),
    (
        "private-messages alone",
        sdp!("a=chatroom:com.example.x  private-messages private-messages\n"),
        "msg 7 types=message/cpim room=pm => 0",
    ),
    (
        "unknown tokens alone",
        sdp!("a=chatroom:nick private com.ag-projects.screen-sharing\n"),
        "msg 7 types=message/cpim room= => 0",
    ),
    (
        "only the first chatroom counts",
        sdp!("a=chatroom:nickname\na=chatroom:private-messages\n"),
        "msg 7 types=message/cpim room=nick => 0",
    ),
    // CHAT-MSG-12
    (
        "wrapped types",
        sdp!("a=accept-wrapped-types:text/plain image/*\n"),
        "msg 7 types=message/cpim wrapped=text/plain,image/* => 0",
    ),
    ("an empty list of wrapped types", sdp!("a=accept-wrapped-types:\n"), "msg 7 types=message/cpim => 0"),
];
