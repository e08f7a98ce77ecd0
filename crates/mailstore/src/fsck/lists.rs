//! Pages of lists against the emails' records.

use crate::error::StoreError;
use crate::keys;
use crate::lists::{self, ListKind, Listed, Listing, SortKeys};
use crate::load::for_each;
use engine::{CommitNo, Snapshot};
use envelope::AccountId;

/// A page that does not say what the records say.
#[derive(Debug)]
pub(crate) struct BadPage {
    pub(crate) kind: ListKind,
    pub(crate) page: u64,
    pub(crate) version: CommitNo,
    pub(crate) why: String,
}

/// All of them.
pub(crate) fn bad_pages(
    snapshot: &dyn Snapshot,
    account: AccountId,
) -> Result<Vec<BadPage>, StoreError> {
    let mut bad = bad_pages_of::<Listing>(snapshot, account)?;
    bad.extend(bad_pages_of::<SortKeys<'_>>(snapshot, account)?);
    Ok(bad)
}

fn bad_pages_of<T: Listed>(
    snapshot: &dyn Snapshot,
    account: AccountId,
) -> Result<Vec<BadPage>, StoreError> {
    let mut bad = Vec::new();
    let (start, end) = keys::lists(account, T::KIND);
    for_each(snapshot, start, &end, |key, record| {
        // Told already.
        let Some(page) = keys::page_of_list(&key) else {
            return Ok(());
        };
        let mut emails = Vec::new();
        let decoded = lists::decode::<T>(page, &record.value, |email, _, octets| {
            emails.push((email, octets));
        });
        let mut why = decoded.err().map(|error| error.to_string());
        for (email, octets) in emails {
            let stored = snapshot.get(&keys::email(account, email))?;
            let right = stored.and_then(|stored| lists::of_record::<T>(email, &stored.value).ok());
            if why.is_none() && right.as_deref() != Some(octets) {
                why = Some(format!("email {email} is another in its record"));
            }
        }
        bad.extend(why.map(|why| BadPage {
            kind: T::KIND,
            page,
            version: record.version,
            why,
        }));
        Ok(())
    })?;
    Ok(bad)
}
