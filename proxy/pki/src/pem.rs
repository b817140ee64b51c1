//! PEM text: writing it (into memory that is zeroed where it is secret) and walking through it.

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

/// Characters per line (RFC 7468).
const LINE: usize = 64;

/// One PEM block.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(BASE64_STANDARD.encode(der));
    let lines = body.len().div_ceil(LINE);
    // Reserved in one piece: a string that grows would leave copies of a key behind.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + lines + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Certificates as PEM, one after the other.
pub(crate) fn encode_certificates<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> String {
    ders.into_iter().map(|der| encode("CERTIFICATE", der).to_string()).collect()
}

/// The blocks of a PEM text whose label is known, in order; text around them is passed over.
pub(crate) fn blocks(
    text: &[u8],
) -> impl Iterator<Item = Result<(SectionKind, Zeroizing<Vec<u8>>), Broken>> + '_ {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text)
        .map(|block| block.map(|(kind, der)| (kind, Zeroizing::new(der))).map_err(|_| Broken))
}

/// True when the text stops in the middle of the line that begins a block: somebody is still writing it, or never finished.
pub(crate) fn is_torn(text: &str) -> bool {
    const BEGIN: &str = "-----BEGIN ";
    let last = text.rsplit('\n').next().unwrap_or_default();
    !last.is_empty() && (BEGIN.starts_with(last) || (last.starts_with(BEGIN) && !last.ends_with("-----")))
}

/// True for a block that must never be published.
pub(crate) fn is_private(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

/// A block without an end, or that is not base64. Says no more, because the text may be a key.
#[derive(Debug)]
pub(crate) struct Broken;
