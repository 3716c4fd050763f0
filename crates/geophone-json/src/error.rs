//! Why a text was not read.

use std::fmt;

/// Why a text was not read. Where in the text is not said: who wants to know asks serde_json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text is longer than [`crate::TEXT_BYTES_MAX`].
    TooLong,
    /// Not the grammar of JSON, or something behind the document. serde_json refuses it too.
    Syntax,
    /// Nested deeper than [`crate::DEPTH_MAX`]. serde_json refuses it, too, unless the deep part is skipped.
    TooDeep,
    /// An escape within a string that stands for no character: half of a surrogate pair. Told when the string is read.
    Escape,
    /// A number beyond the range of floats. Told when the number is read.
    Number,
    /// The JSON is fine and is not what the type that is read expects.
    Type(Box<str>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "text too long",
            Self::Syntax => "invalid JSON",
            Self::TooDeep => "nested too deep",
            Self::Escape => "an escape that stands for no character",
            Self::Number => "number out of range",
            Self::Type(why) => why,
        })
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Type(why.to_string().into())
    }
}
