//! Names of calls. The dialect tells the calls of a turn apart by their order; callers want a name that occurs once in a
//! conversation. And a model that thinks signs its calls, and wants the signature back with the call: as nothing else of a
//! call comes back from every caller, the signature travels in its name.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};

/// Between the name and the signature.
const MARK: &str = "_signed_";

/// Name of a call: of letters, digits, `-` and `_`, which every dialect takes. `response` is the provider's name for the
/// response that it stands in, `signature` is in base64.
pub(super) fn name(response: Option<&str>, index: u32, signature: Option<&str>) -> String {
    let is_plain = |text: &&str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let response = response.filter(is_plain).unwrap_or("call");
    let mut name = format!("{response}-{index}");
    if let Some(bytes) = signature.and_then(|signature| BASE64_STANDARD.decode(signature).ok()) {
        name.push_str(MARK);
        BASE64_URL_SAFE_NO_PAD.encode_string(bytes, &mut name);
    }
    name
}

/// The signature in the name of a call, as the provider wrote it; `None` for calls that it did not sign.
pub(super) fn signature(name: &str) -> Option<String> {
    let (_, signature) = name.split_once(MARK)?;
    BASE64_URL_SAFE_NO_PAD.decode(signature).ok().map(|bytes| BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_comes_back_in_the_name_of_its_call() {
        for signed in ["c2lnbmVk+/8=", "AA==", "AAAA"] {
            let name = name(Some("mAit-a_L"), 1, Some(signed));

            assert!(name.starts_with("mAit-a_L-1_signed_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{name}");
            assert_eq!(signature(&name).as_deref(), Some(signed));
        }
    }

    #[test]
    fn names_without_a_signature_have_none() {
        assert_eq!(name(Some("r"), 0, None), "r-0");
        assert_eq!(name(None, 2, Some("no base64!")), "call-2");
        assert_eq!(name(Some("a b"), 0, None), "call-0");
        for foreign in ["call_AbC", "toolu_1", "x_signed_%"] {
            assert_eq!(signature(foreign), None, "{foreign}");
        }
    }
}
