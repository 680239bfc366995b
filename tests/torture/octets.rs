//! How the tables of the torture corpora write octets.

/// The octets that a case of a table stands for.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for c in text.chars() {
        match c {
            '\n' => out.extend_from_slice(b"\r\n"),
            '␊' => out.push(b'\n'),
            '␍' => out.push(b'\r'),
            '␉' => out.push(b'\t'),
            '␀' => out.push(0),
            '⍰' => out.push(0xff),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}
