//! Yes, no, or "cannot be told": what a policy element says about a request.
//!
//! Kleene's strong three-valued logic: a conjunction with a certain No is No whatever the rest is, a disjunction with a
//! certain Yes is Yes, and only what could still turn out either way is Unknown.

use std::sync::Arc;

/// Whether something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It does not hold.
    No,
    /// It cannot be told, and why not.
    Unknown(Arc<str>),
    /// It holds.
    Yes,
}

impl Truth {
    /// Unknown, for this reason.
    pub fn unknown(why: impl Into<Arc<str>>) -> Self {
        Self::Unknown(why.into())
    }

    /// Whether all of `parts` hold. The first reason is kept.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Self::Yes;
        for part in parts {
            match part {
                Self::No => return Self::No,
                Self::Unknown(why) if result == Self::Yes => result = Self::Unknown(why),
                Self::Unknown(_) | Self::Yes => {}
            }
        }
        result
    }

    /// Whether any of `parts` holds. The first reason is kept.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Self::No;
        for part in parts {
            match part {
                Self::Yes => return Self::Yes,
                Self::Unknown(why) if result == Self::No => result = Self::Unknown(why),
                Self::Unknown(_) | Self::No => {}
            }
        }
        result
    }

    /// The opposite; what is unknown stays unknown.
    pub fn negated_if(self, negated: bool) -> Self {
        match (negated, self) {
            (true, Self::No) => Self::Yes,
            (true, Self::Yes) => Self::No,
            (_, unchanged) => unchanged,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth;

    #[test]
    fn what_is_certain_beats_what_is_unknown() {
        let unknown = || Truth::unknown("x");
        assert_eq!(Truth::all([unknown(), Truth::No]), Truth::No);
        assert_eq!(Truth::all([Truth::Yes, unknown()]), unknown());
        assert_eq!(Truth::any([unknown(), Truth::Yes]), Truth::Yes);
        assert_eq!(Truth::any([Truth::No, unknown()]), unknown());
        assert_eq!((Truth::all([]), Truth::any([])), (Truth::Yes, Truth::No));
        assert_eq!(unknown().negated_if(true), unknown());
    }
}
