//! Filters and sorts of `/query`. RFC 8620 §5.5

use crate::error::MethodError;
use crate::limits::{FILTER_DEPTH_MAX, FILTER_PARTS_MAX, SORT_MAX};
use serde_json::{Map, Value};

/// How conditions are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// All of them.
    And,
    /// One of them at least.
    Or,
    /// None of them.
    Not,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Several together.
    Operator(Operator, Vec<Filter>),
    /// The members of a condition; all of them must hold.
    Condition(Map<String, Value>),
}

impl Filter {
    /// Reads a filter; none where it is null.
    ///
    /// # Errors
    /// It is none, or too deep, or too long.
    pub fn parse(value: Value) -> Result<Option<Self>, MethodError> {
        if value.is_null() {
            return Ok(None);
        }
        let mut left = FILTER_PARTS_MAX;
        parse(value, FILTER_DEPTH_MAX, &mut left).map(Some)
    }

    /// Calls `f` with each condition.
    pub fn visit(&self, f: &mut dyn FnMut(&Map<String, Value>)) {
        match self {
            Self::Operator(_, filters) => filters.iter().for_each(|filter| filter.visit(f)),
            Self::Condition(members) => f(members),
        }
    }
}

fn parse(value: Value, depth: usize, left: &mut usize) -> Result<Filter, MethodError> {
    let too_much = || MethodError::UnsupportedFilter("it is too deep or too long".into());
    *left = left.checked_sub(1).ok_or_else(too_much)?;
    let depth = depth.checked_sub(1).ok_or_else(too_much)?;
    let Value::Object(mut members) = value else {
        return Err(MethodError::invalid("a filter is an object"));
    };
    let Some(operator) = members.remove("operator") else {
        // All of them must hold: each is one.
        let more = members.len().saturating_sub(1);
        *left = left.checked_sub(more).ok_or_else(too_much)?;
        return Ok(Filter::Condition(members));
    };
    let operator = match operator.as_str() {
        Some("AND") => Operator::And,
        Some("OR") => Operator::Or,
        Some("NOT") => Operator::Not,
        _ => return Err(MethodError::invalid("operator is AND, OR or NOT")),
    };
    let conditions = members.remove("conditions");
    let (Some(Value::Array(conditions)), true) = (conditions, members.is_empty()) else {
        return Err(MethodError::invalid("an operator has conditions, a list"));
    };
    let filters = conditions.into_iter();
    let filters: Result<_, _> = filters.map(|value| parse(value, depth, left)).collect();
    Ok(Filter::Operator(operator, filters?))
}

/// What is sorted by.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparator {
    /// The property.
    pub property: String,
    /// Small to large.
    pub ascending: bool,
    /// The collation that is asked for.
    pub collation: Option<String>,
    /// What the property needs beside, such as `keyword`.
    pub more: Map<String, Value>,
}

impl Comparator {
    /// Reads a sort; null is none.
    ///
    /// # Errors
    /// It is no list of comparators, or too long.
    pub fn parse_all(value: Value) -> Result<Vec<Self>, MethodError> {
        let list = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(list) if list.len() <= SORT_MAX => list,
            Value::Array(_) => return Err(MethodError::UnsupportedSort("it is too long".into())),
            _ => return Err(MethodError::invalid("sort is a list")),
        };
        list.into_iter().map(Self::parse).collect()
    }

    fn parse(value: Value) -> Result<Self, MethodError> {
        let Value::Object(mut more) = value else {
            return Err(MethodError::invalid("a comparator is an object"));
        };
        let Some(Value::String(property)) = more.remove("property") else {
            return Err(MethodError::invalid("a comparator has a property"));
        };
        let ascending = match more.remove("isAscending") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(ascending)) => ascending,
            Some(_) => return Err(MethodError::invalid("isAscending is true or false")),
        };
        let collation = match more.remove("collation") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(MethodError::invalid("collation is a name")),
        };
        Ok(Self {
            property,
            ascending,
            collation,
            more,
        })
    }
}
