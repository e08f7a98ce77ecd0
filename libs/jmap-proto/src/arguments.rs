//! What methods take, typed. RFC 8620 §5

use crate::error::MethodError;
use crate::filter::{Comparator, Filter};
use crate::id::is_id;
use crate::limits::{OBJECTS_IN_GET_MAX, OBJECTS_IN_SET_MAX, PROPERTIES_MAX};
use serde_json::{Map, Value};

/// Arguments that are taken one by one; what is left at the end is an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments(Map<String, Value>);

type Taken<T> = Result<T, MethodError>;

impl Arguments {
    /// Of a call, its references resolved.
    #[must_use]
    pub fn new(arguments: Map<String, Value>) -> Self {
        Self(arguments)
    }

    /// An argument as it is; null if it is missing.
    pub fn value(&mut self, name: &str) -> Value {
        self.0.remove(name).unwrap_or(Value::Null)
    }

    /// A text, or null.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&mut self, name: &str) -> Taken<Option<String>> {
        match self.value(name) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(wrong(name, "a text")),
        }
    }

    /// An id, or null.
    ///
    /// # Errors
    /// It is something else.
    pub fn id(&mut self, name: &str) -> Taken<Option<String>> {
        match self.text(name)? {
            Some(id) if !is_id(&id) => Err(wrong(name, "an id")),
            id => Ok(id),
        }
    }

    /// The account.
    ///
    /// # Errors
    /// There is none.
    pub fn account_id(&mut self) -> Taken<String> {
        self.id("accountId")?
            .ok_or_else(|| wrong("accountId", "an id"))
    }

    /// True or false, or what it is if it is missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&mut self, name: &str, missing: bool) -> Taken<bool> {
        match self.value(name) {
            Value::Null => Ok(missing),
            Value::Bool(flag) => Ok(flag),
            _ => Err(wrong(name, "true or false")),
        }
    }

    /// A whole number that is not below zero, or null.
    ///
    /// # Errors
    /// It is something else.
    pub fn unsigned(&mut self, name: &str) -> Taken<Option<u64>> {
        match self.value(name) {
            Value::Null => Ok(None),
            value => value
                .as_u64()
                .filter(|number| *number <= INTEGER_MAX)
                .map(Some)
                .ok_or_else(|| wrong(name, "a whole number")),
        }
    }

    /// A whole number, or null.
    ///
    /// # Errors
    /// It is something else.
    pub fn integer(&mut self, name: &str) -> Taken<Option<i64>> {
        match self.value(name) {
            Value::Null => Ok(None),
            value => value
                .as_i64()
                .filter(|number| number.unsigned_abs() <= INTEGER_MAX)
                .map(Some)
                .ok_or_else(|| wrong(name, "a whole number")),
        }
    }

    /// A list of texts, or null.
    ///
    /// # Errors
    /// It is something else, or too long.
    pub fn texts(&mut self, name: &str, max: usize) -> Taken<Option<Vec<String>>> {
        let list = match self.value(name) {
            Value::Null => return Ok(None),
            Value::Array(list) => list,
            _ => return Err(wrong(name, "a list")),
        };
        if list.len() > max {
            return Err(MethodError::RequestTooLarge);
        }
        let texts = list.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            _ => Err(wrong(name, "a list of texts")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// An object, or null.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&mut self, name: &str) -> Taken<Option<Map<String, Value>>> {
        match self.value(name) {
            Value::Null => Ok(None),
            Value::Object(object) => Ok(Some(object)),
            _ => Err(wrong(name, "an object")),
        }
    }

    /// Objects by their ids.
    fn objects(&mut self, name: &str) -> Taken<Vec<(String, Map<String, Value>)>> {
        let objects = self.object(name)?.unwrap_or_default().into_iter();
        let objects = objects.map(|(id, value)| match value {
            Value::Object(object) => Ok((id, object)),
            _ => Err(wrong(name, "objects by their ids")),
        });
        objects.collect()
    }

    /// All are taken.
    ///
    /// # Errors
    /// There is one that the method does not know.
    pub fn finish(self) -> Taken<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(MethodError::invalid(format!(
                "there is no argument {name:?} here"
            ))),
        }
    }
}

/// RFC 8620 §1.3: what every JSON implementation can hold.
const INTEGER_MAX: u64 = (1 << 53) - 1;

fn wrong(name: &str, expected: &str) -> MethodError {
    MethodError::invalid(format!("{name} is not {expected}"))
}

/// What every `/get` takes. RFC 8620 §5.1
#[derive(Debug, Clone, PartialEq)]
pub struct Get {
    /// Whose.
    pub account_id: String,
    /// Which, each once; none for all.
    pub ids: Option<Vec<String>>,
    /// What of them; none for what is usual.
    pub properties: Option<Vec<String>>,
}

impl Get {
    /// Takes them.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn take(arguments: &mut Arguments) -> Taken<Self> {
        let account_id = arguments.account_id()?;
        let ids = arguments.texts("ids", OBJECTS_IN_GET_MAX)?;
        let ids = ids.map(|ids| {
            let mut seen = std::collections::BTreeSet::new();
            let each_once = ids.into_iter().filter(|id| seen.insert(id.clone()));
            each_once.collect()
        });
        Ok(Self {
            account_id,
            ids,
            properties: arguments.texts("properties", PROPERTIES_MAX)?,
        })
    }
}

/// What every `/changes` takes. RFC 8620 §5.2
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Whose.
    pub account_id: String,
    /// The state that the client knows.
    pub since: String,
    /// The most that it takes; not zero.
    pub max: Option<u64>,
}

impl Changes {
    /// Takes them.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn take(arguments: &mut Arguments) -> Taken<Self> {
        let account_id = arguments.account_id()?;
        let since = arguments.text("sinceState")?;
        let max = arguments.unsigned("maxChanges")?;
        if max == Some(0) {
            return Err(wrong("maxChanges", "above zero"));
        }
        Ok(Self {
            account_id,
            since: since.ok_or_else(|| wrong("sinceState", "a state"))?,
            max,
        })
    }
}

/// What every `/set` takes. RFC 8620 §5.3
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// Whose.
    pub account_id: String,
    /// Nothing is done in another state.
    pub if_in_state: Option<String>,
    /// By creation id.
    pub create: Vec<(String, Map<String, Value>)>,
    /// Patches by id.
    pub update: Vec<(String, Map<String, Value>)>,
    /// Ids.
    pub destroy: Vec<String>,
}

impl Set {
    /// Takes them.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn take(arguments: &mut Arguments) -> Taken<Self> {
        let set = Self {
            account_id: arguments.account_id()?,
            if_in_state: arguments.text("ifInState")?,
            create: arguments.objects("create")?,
            update: arguments.objects("update")?,
            destroy: arguments
                .texts("destroy", OBJECTS_IN_SET_MAX)?
                .unwrap_or_default(),
        };
        if set.create.len() + set.update.len() + set.destroy.len() > OBJECTS_IN_SET_MAX {
            return Err(MethodError::RequestTooLarge);
        }
        if let Some((bad, _)) = set.create.iter().find(|(id, _)| !is_id(id)) {
            return Err(wrong(bad, "a creation id"));
        }
        Ok(set)
    }
}

/// What every `/copy` takes. RFC 8620 §5.4
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// From where.
    pub from_account_id: String,
    /// Nothing is done in another state of it.
    pub if_from_in_state: Option<String>,
    /// To where.
    pub account_id: String,
    /// Nothing is done in another state.
    pub if_in_state: Option<String>,
    /// By creation id.
    pub create: Vec<(String, Map<String, Value>)>,
    /// The originals go where it succeeds.
    pub destroy_original: bool,
    /// Nothing of them is done in another state.
    pub destroy_from_if_in_state: Option<String>,
}

impl Copy {
    /// Takes them.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn take(arguments: &mut Arguments) -> Taken<Self> {
        let from = arguments.id("fromAccountId")?;
        let copy = Self {
            from_account_id: from.ok_or_else(|| wrong("fromAccountId", "an id"))?,
            if_from_in_state: arguments.text("ifFromInState")?,
            account_id: arguments.account_id()?,
            if_in_state: arguments.text("ifInState")?,
            create: arguments.objects("create")?,
            destroy_original: arguments.flag("onSuccessDestroyOriginal", false)?,
            destroy_from_if_in_state: arguments.text("destroyFromIfInState")?,
        };
        if copy.create.len() > OBJECTS_IN_SET_MAX {
            return Err(MethodError::RequestTooLarge);
        }
        if copy.from_account_id == copy.account_id {
            // RFC 8620 §5.4: "It MUST be different from the accountId".
            return Err(wrong("fromAccountId", "another account"));
        }
        Ok(copy)
    }
}

/// What every `/query` takes. RFC 8620 §5.5
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Whose.
    pub account_id: String,
    /// What is looked for; none for everything.
    pub filter: Option<Filter>,
    /// How it is sorted; empty as the server likes.
    pub sort: Vec<Comparator>,
    /// The first that is answered; below zero from the end.
    pub position: i64,
    /// The first is this one, moved by the offset.
    pub anchor: Option<String>,
    /// See `anchor`.
    pub anchor_offset: i64,
    /// The most that is answered.
    pub limit: Option<u64>,
    /// How many there are is told.
    pub calculate_total: bool,
}

impl Query {
    /// Takes them.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn take(arguments: &mut Arguments) -> Taken<Self> {
        Ok(Self {
            account_id: arguments.account_id()?,
            filter: Filter::parse(arguments.value("filter"))?,
            sort: Comparator::parse_all(arguments.value("sort"))?,
            position: arguments.integer("position")?.unwrap_or(0),
            anchor: arguments.text("anchor")?,
            anchor_offset: arguments.integer("anchorOffset")?.unwrap_or(0),
            limit: arguments.unsigned("limit")?,
            calculate_total: arguments.flag("calculateTotal", false)?,
        })
    }

    /// The part of results that is answered: its first place, and the places in it.
    ///
    /// # Errors
    /// The anchor is not among them.
    pub fn part<T>(
        &self,
        results: &[T],
        most: usize,
        is_anchor: impl Fn(&T, &str) -> bool,
    ) -> Taken<std::ops::Range<usize>> {
        let len = i64::try_from(results.len()).unwrap_or(i64::MAX);
        let first = match &self.anchor {
            Some(anchor) => {
                let at = results.iter().position(|one| is_anchor(one, anchor));
                let at = at.ok_or(MethodError::AnchorNotFound)?;
                let at = i64::try_from(at).unwrap_or(i64::MAX);
                at.saturating_add(self.anchor_offset)
            }
            None if self.position < 0 => len.saturating_add(self.position),
            None => self.position,
        };
        let first = usize::try_from(first.clamp(0, len)).unwrap_or(0);
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok());
        let count = limit.unwrap_or(usize::MAX).min(most);
        Ok(first..first.saturating_add(count).min(results.len()))
    }
}

/// What every `/queryChanges` takes. RFC 8620 §5.6
#[derive(Debug, Clone, PartialEq)]
pub struct QueryChanges {
    /// Whose.
    pub account_id: String,
    /// What is looked for; none for everything.
    pub filter: Option<Filter>,
    /// How it is sorted.
    pub sort: Vec<Comparator>,
    /// The state of the results that the client knows.
    pub since: String,
    /// The most that it takes.
    pub max: Option<u64>,
    /// How many there are is told.
    pub calculate_total: bool,
}

impl QueryChanges {
    /// Takes them.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn take(arguments: &mut Arguments) -> Taken<Self> {
        let since = arguments.text("sinceQueryState")?;
        // It lets a server leave out what comes behind; none does so here.
        arguments.text("upToId")?;
        Ok(Self {
            account_id: arguments.account_id()?,
            filter: Filter::parse(arguments.value("filter"))?,
            sort: Comparator::parse_all(arguments.value("sort"))?,
            since: since.ok_or_else(|| wrong("sinceQueryState", "a state"))?,
            max: arguments.unsigned("maxChanges")?,
            calculate_total: arguments.flag("calculateTotal", false)?,
        })
    }
}
