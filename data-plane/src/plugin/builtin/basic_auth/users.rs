//! Users and the hashes of their passwords.

use std::collections::BTreeMap;

use sha_crypt::{PasswordVerifier as _, ShaCrypt};
use weir_proto::model::plugin::param::PasswordHash;

/// Who may come in.
pub(super) struct Users(BTreeMap<String, PasswordHash>);

/// Never shows a hash.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Users {
    pub(super) fn new(users: BTreeMap<String, PasswordHash>) -> Self {
        Self(users)
    }

    /// Whether it is the user's password; takes long. For a user that is not there it takes as long as for another,
    /// so that nobody learns who is.
    pub(super) fn check(&self, user: &str, password: &[u8]) -> bool {
        let known = self.0.get(user);
        let hash = known.or_else(|| self.0.values().next());
        hash.is_some_and(|hash| is_password(hash, password)) && known.is_some()
    }
}

fn is_password(hash: &PasswordHash, password: &[u8]) -> bool {
    match hash {
        PasswordHash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        PasswordHash::Sha512Crypt(hash) => ShaCrypt::default().verify_password(password, hash.as_str()).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_only_the_right_password_of_a_known_user_lets_in() {
        let bcrypt = bcrypt::hash(b"open sesame", 4).unwrap();
        let users = Users::new([("ada".to_owned(), PasswordHash::Bcrypt(bcrypt))].into());
        assert!(users.check("ada", b"open sesame"));
        for (user, password) in [("ada", "open"), ("ada", ""), ("bob", "open sesame"), ("", "")] {
            assert!(!users.check(user, password.as_bytes()), "{user}:{password}");
        }
        assert!(!Users::new(BTreeMap::new()).check("ada", b"open sesame"));
    }

    /// The example of the specification (https://www.akkadia.org/drepper/SHA-crypt.txt).
    #[test]
    fn p1_sha512_crypt_is_that_of_the_specification() {
        let hash =
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
        let hash = PasswordHash::Sha512Crypt(hash.to_owned());
        assert!(is_password(&hash, b"Hello world!") && !is_password(&hash, b"Hello world"));
    }
}
