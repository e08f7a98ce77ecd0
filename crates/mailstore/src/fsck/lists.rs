//! Pages of lists against the emails' records.

use crate::email::EmailRecord;
use crate::error::StoreError;
use crate::keys;
use crate::lists::{self, Listing};
use crate::load::for_each;
use engine::{CommitNo, Snapshot};
use envelope::AccountId;

/// A page that does not say what the records say.
#[derive(Debug)]
pub(crate) struct BadPage {
    pub(crate) page: u64,
    pub(crate) version: CommitNo,
    pub(crate) why: String,
}

/// All of them.
pub(crate) fn bad_pages(
    snapshot: &dyn Snapshot,
    account: AccountId,
) -> Result<Vec<BadPage>, StoreError> {
    let mut bad = Vec::new();
    let (start, end) = keys::lists(account);
    for_each(snapshot, start, &end, |key, record| {
        // Told already.
        let Some(page) = keys::page_of_list(&key) else {
            return Ok(());
        };
        let mut emails = Vec::new();
        let decoded = lists::decode(page, &record.value, |email, listing| {
            emails.push((email, listing));
        });
        let mut why = decoded.err().map(|error| error.to_string());
        for (email, listing) in emails {
            let stored = snapshot.get(&keys::email(account, email))?;
            let right = stored
                .and_then(|stored| EmailRecord::decode(&stored.value).ok())
                .and_then(|record| Listing::of(&record).ok());
            if why.is_none() && right != Some(listing) {
                why = Some(format!("email {email} is another in its record"));
            }
        }
        bad.extend(why.map(|why| BadPage {
            page,
            version: record.version,
            why,
        }));
        Ok(())
    })?;
    Ok(bad)
}
