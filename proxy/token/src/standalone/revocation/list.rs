//! A revocation list for those who change it.

use super::entry::{self, Entry, What};
use super::{MAX_ENTRIES, RevocationError};

/// The entries of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    entries: Vec<Entry>,
}

impl List {
    /// Reads a file.
    pub fn parse(text: &[u8]) -> Result<Self, RevocationError> {
        Ok(Self { entries: entry::read(text).collect::<Result<_, _>>()? })
    }

    /// The file.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let mut text = String::with_capacity(self.entries.len().saturating_mul(128));
        for entry in &self.entries {
            text.push_str(&entry.to_line()?);
            text.push('\n');
        }
        Ok(text)
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// From when on tokens of this subject are good again, if those before are revoked.
    pub fn issued_before(&self, of: &str) -> Option<i64> {
        self.entries.iter().find_map(|entry| match &entry.what {
            What::Subject { subject, issued_before } if subject == of => Some(*issued_before),
            _ => None,
        })
    }

    /// Puts an entry on the list, in place of one for the same token or subject; says whether that changed anything.
    ///
    /// A subject's moment is never put back: what was revoked stays revoked until it is taken from the list.
    pub fn revoke(&mut self, entry: Entry) -> Result<bool, RevocationError> {
        if let Some(there) = self.entries.iter_mut().find(|there| is_about_the_same(&there.what, &entry.what))
        {
            let reaches_further = match (&there.what, &entry.what) {
                (What::Subject { issued_before: old, .. }, What::Subject { issued_before: new, .. }) => {
                    old < new
                }
                _ => false,
            };
            if reaches_further {
                *there = entry;
            }
            return Ok(reaches_further);
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(RevocationError::TooMany);
        }
        self.entries.push(entry);
        Ok(true)
    }

    /// Takes the entry of a token off the list; says whether there was one.
    pub fn unrevoke_token(&mut self, token: &str) -> bool {
        self.remove(|what| matches!(what, What::Token { jti, .. } if jti == token))
    }

    /// Takes the entry of a subject off the list; says whether there was one. Entries of its single tokens stay.
    pub fn unrevoke_subject(&mut self, of: &str) -> bool {
        self.remove(|what| matches!(what, What::Subject { subject, .. } if subject == of))
    }

    /// Drops the entries of tokens that have ended; says how many.
    pub fn prune(&mut self, now: i64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.is_over(now));
        before - self.entries.len()
    }

    fn remove(&mut self, which: impl Fn(&What) -> bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| !which(&entry.what));
        self.entries.len() != before
    }
}

fn is_about_the_same(one: &What, other: &What) -> bool {
    match (one, other) {
        (What::Token { jti: one, .. }, What::Token { jti: other, .. })
        | (What::Subject { subject: one, .. }, What::Subject { subject: other, .. }) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(jti: &str, expires_at: Option<i64>) -> Entry {
        let what = What::Token { jti: jti.to_owned(), subject: Some("alice".to_owned()), expires_at };
        Entry { what, revoked_at: 10 }
    }

    fn subject(issued_before: i64) -> Entry {
        Entry { what: What::Subject { subject: "alice".to_owned(), issued_before }, revoked_at: 10 }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut list = List::default();
        for entry in [token("a\"\n\u{1f}", Some(7)), token("b", None), subject(5)] {
            assert!(list.revoke(entry).unwrap());
        }

        let text = list.render().unwrap();

        assert_eq!(text.lines().count(), 3);
        assert_eq!(List::parse(text.as_bytes()).unwrap(), list);
    }

    #[test]
    fn revoking_again_adds_no_entry_and_never_takes_back() {
        let mut list = List::default();

        assert!(list.revoke(token("a", None)).unwrap());
        assert!(!list.revoke(token("a", Some(1))).unwrap());
        assert!(list.revoke(subject(5)).unwrap());
        assert!(!list.revoke(subject(4)).unwrap());
        assert!(list.revoke(subject(6)).unwrap());

        assert_eq!(list.entries(), [token("a", None), subject(6)]);
    }

    #[test]
    fn a_token_and_its_subject_are_taken_off_the_list_one_by_one() {
        let mut list = List::default();
        list.revoke(token("a", None)).unwrap();
        list.revoke(subject(5)).unwrap();

        assert!(list.unrevoke_subject("alice"));
        assert!(!list.unrevoke_subject("alice"));
        assert!(!list.unrevoke_token("b"));
        assert!(list.unrevoke_token("a"));

        assert_eq!(list, List::default());
    }

    #[test]
    fn pruning_drops_what_has_ended_and_nothing_else() {
        let mut list = List::default();
        for entry in
            [token("ended", Some(100)), token("good", Some(1000)), token("unknown", None), subject(1)]
        {
            list.revoke(entry).unwrap();
        }

        assert_eq!(list.prune(500), 1);

        assert_eq!(list.entries(), [token("good", Some(1000)), token("unknown", None), subject(1)]);
    }
}
