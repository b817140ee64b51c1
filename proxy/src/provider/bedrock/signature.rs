//! AWS Signature Version 4 in the `authorization` header, as the AWS documentation describes it for services other than S3.
//!
//! Pure: the time is passed in. Written here and not taken from the SDK's crate, which brings cryptography of its own.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use vibectl_config::Secret;
use zeroize::Zeroizing;

use super::super::path::segment;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) access_key_id: Secret,
    pub(super) secret_access_key: Secret,
    /// Of keys that are valid for a time only.
    pub(super) session_token: Option<Secret>,
}

/// For whom a signature is good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// What of a request is signed. It has no query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// As it is sent, in percent-encoding.
    pub(super) path: &'a str,
    /// Names in lower case and in order, values without needless white space; `host` has to be among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// The value of `authorization`. `time` is the value of `x-amz-date`, such as `20150830T123600Z`.
pub(super) fn authorization(request: &Unsigned<'_>, keys: &Keys, scope: Scope<'_>, time: &str) -> String {
    let Scope { region, service } = scope;
    let day = time.split('T').next().unwrap_or_default();
    let names: Vec<_> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let hash = hex(sha256(canonical(request, &names).as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{hash}");
    let first = Zeroizing::new(format!("AWS4{}", keys.secret_access_key.expose()));
    let key = [day, region, service, "aws4_request"]
        .iter()
        .fold(hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes()), |key, part| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
        });
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    let id = keys.access_key_id.expose();
    format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

/// The path is encoded a second time: services other than S3 expect that.
fn canonical(request: &Unsigned<'_>, names: &str) -> String {
    let Unsigned { method, path, headers, body } = request;
    let path: Vec<_> = path.split('/').map(segment).collect();
    let mut text = format!("{method}\n{}\n\n", path.join("/"));
    for (name, value) in *headers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{names}\n{}", hex(sha256(body).as_ref()));
    text
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
    /// Of the test suite that AWS has published: `post-sts-header-before`.
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn keys() -> Keys {
        Keys {
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        }
    }

    fn signed(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let scope = Scope { region: "us-east-1", service: "service" };
        authorization(&Unsigned { method, path, headers, body }, &keys(), scope, DATE.1)
    }

    #[test]
    fn the_test_suite_of_aws_is_signed_as_it_says() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let token = ("x-amz-security-token", TOKEN);
        for (signed, headers, signature) in [
            (
                signed("GET", "/", &[HOST, DATE], b""),
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                signed("POST", "/", &[HOST, DATE], b""),
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                signed("GET", "/\u{1234}", &[HOST, DATE], b""),
                "host;x-amz-date",
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            (
                signed("POST", "/", &[form, HOST, DATE], b"Param1=value1"),
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                signed("POST", "/", &[HOST, DATE, token], b""),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            assert_eq!(
                signed,
                format!(
                    "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={headers}, Signature={signature}"
                )
            );
        }
    }

    #[test]
    fn a_path_is_encoded_once_more_than_it_is_sent() {
        let request = Unsigned { method: "POST", path: "/model/a%3A0/converse", headers: &[HOST], body: b"" };

        assert!(canonical(&request, "host").starts_with("POST\n/model/a%253A0/converse\n\nhost:"));
    }

    #[test]
    fn keys_that_are_printed_do_not_show_themselves() {
        let shown = format!("{:?}", keys());

        assert!(!shown.contains("wJalr") && !shown.contains("AKID"), "{shown}");
    }
}
