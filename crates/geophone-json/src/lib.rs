//! Reads JSON in two passes, as fast as the machine's vectors allow.
//!
//! 1. [`Index::read`] looks at 64 bytes at a time and writes down where strings begin and end and where objects and lists
//!    open and close. In the same pass it checks what is within strings: escapes, and no control characters.
//! 2. It then walks over the text from one such place to the next, checks the rest of the grammar, and notes behind each
//!    opening bracket where it closes.
//!
//! What comes out is a [`Document`], a [`serde::Deserializer`]: strings without escapes are borrowed, strings with escapes
//! are resolved by [`unescape`] into a buffer that is reused, and what nobody wants is skipped in one step.
//!
//! # What is promised
//!
//! serde_json is the measure: where `read` or the deserializer say yes, serde_json says yes to the same type and gives the
//! same values, down to the last bit of a float. The other way it need not hold (see [`Error`]): a caller that must read
//! whatever serde_json reads asks serde_json where this crate refuses. Refusal costs at most what reading costs, which is
//! linear in the length of the text.
//!
//! Nothing is allocated once the [`Index`] has seen a text of the size, except by the types that are read.
//!
//! # Where the unsafe code is
//!
//! In [`mod@simd`] alone, which is loads, stores and calls behind a feature check that [`Level`] stands for. Whatever it
//! returns, the rest of the crate checks every bound.
//!
//! ```
//! let mut index = geophone_json::Index::new();
//! let mut document = index.read(r#"{"a":[1,2],"b":"text"}"#)?;
//! let map: std::collections::BTreeMap<&str, serde_json::Value> = serde::Deserialize::deserialize(&mut document)?;
//! assert_eq!(map["b"], "text");
//! # Ok::<(), geophone_json::Error>(())
//! ```

mod de;
mod document;
mod error;
mod index;
mod level;
mod number;
mod simd;
mod unescape;
mod walk;

pub use document::Document;
pub use error::Error;
pub use index::{DEPTH_MAX, Index, TEXT_BYTES_MAX};
pub use level::Level;
pub use unescape::{unescape, unescape_at};
