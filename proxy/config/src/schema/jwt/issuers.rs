//! `jwt.issuers`: others whose tokens tell who calls a server that runs alone.

use std::path::PathBuf;

use vibectl_token::foreign::SUBJECT;

use crate::decode::Cursor;

/// An issuer of tokens, and who of those that it knows may call.
///
/// Its keys come from `jwks_file`, from `jwks_url`, or from where its discovery document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtIssuer {
    /// What this file, log lines and errors call it.
    pub name: String,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// A token must be for one of these.
    pub audiences: Vec<String>,
    /// A file with its key set.
    pub jwks_file: Option<PathBuf>,
    /// The address of its key set.
    pub jwks_url: Option<String>,
    /// The CA of its server; absent: the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// Who may call; never empty.
    pub callers: Vec<JwtCaller>,
}

impl JwtIssuer {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let issuer = Self {
            name: section.required("name", Cursor::label).unwrap_or_default(),
            issuer: section.required("issuer", Cursor::text).unwrap_or_default(),
            audiences: section
                .required("audiences", |cursor| {
                    Some(cursor.some_items().iter().map(|item| item.text().unwrap_or_default()).collect())
                })
                .unwrap_or_default(),
            jwks_file: section.read("jwks_file", Cursor::path),
            jwks_url: section.read("jwks_url", https_url),
            ca_file: section.read("ca_file", Cursor::path),
            callers: section
                .required("callers", |cursor| {
                    Some(cursor.some_items().iter().map(JwtCaller::decode).collect())
                })
                .unwrap_or_default(),
        };
        match (&issuer.jwks_file, &issuer.jwks_url) {
            (Some(_), Some(_)) => section.mistake("expected one of jwks_file and jwks_url, found both"),
            (Some(_), None) if issuer.ca_file.is_some() => {
                section.mistake("ca_file is for an address, and the keys come from jwks_file");
            }
            (None, None) if !issuer.issuer.is_empty() && !issuer.issuer.starts_with("https://") => section.mistake(
                "issuer is not an https address, so nothing says where its keys are: give jwks_file or jwks_url",
            ),
            _ => {}
        }
        section.finish();
        issuer
    }
}

serialize_differences!(JwtIssuer { name, issuer, audiences, jwks_file, jwks_url, ca_file, callers });

/// Somebody whom the issuer knows, and who that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtCaller {
    /// The claim that tells who it is.
    pub claim: String,
    /// Its value; of a claim that is a list, one of its items.
    pub value: String,
    /// Who calls, for limits, revocation and the log.
    pub subject: String,
}

impl Default for JwtCaller {
    fn default() -> Self {
        Self { claim: SUBJECT.to_owned(), value: String::new(), subject: String::new() }
    }
}

impl JwtCaller {
    fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let claim = section.read("claim", Cursor::text).unwrap_or(default.claim);
        let value = section.required("value", Cursor::text).unwrap_or_default();
        let subject = section.read("subject", Cursor::text).unwrap_or_else(|| value.clone());
        section.finish();
        Self { claim, value, subject }
    }
}

serialize_differences!(JwtCaller { claim, value, subject });

fn https_url(cursor: &Cursor<'_>) -> Option<String> {
    cursor.base_url().filter(|url| cursor.fits(url.starts_with("https://"), "an https address"))
}
