//! serde's view of a [`Document`].

mod access;

use serde::de::{Deserializer, Unexpected, Visitor};

use crate::document::Document;
use crate::error::Error;
use crate::number::{self, Number};
use access::{Entries, Raw, Variant, WholeVariant};

/// The name under which serde_json's `RawValue` asks for the text of a value.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

impl<'de> Document<'_, 'de> {
    /// Gives the string that begins here.
    #[inline]
    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let quoted = self.string()?;
        if quoted.has_escapes { visitor.visit_str(self.resolved(quoted.raw)?) } else { visitor.visit_borrowed_str(quoted.raw) }
    }

    #[inline]
    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        visit(number::parse(self.scalar()?)?, visitor)
    }

    #[inline]
    fn visit_list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.step_bracket();
        let value = visitor.visit_seq(Entries::new(self))?;
        self.end(b']')?;
        Ok(value)
    }

    #[inline]
    fn visit_object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.step_bracket();
        let value = visitor.visit_map(Entries::new(self))?;
        self.end(b'}')?;
        Ok(value)
    }

    /// Goes behind the closing bracket, which is an error to find something else before.
    #[inline(always)]
    fn end(&mut self, bracket: u8) -> Result<(), Error> {
        if self.next()? != bracket {
            return Err(left_behind());
        }
        self.step_bracket();
        Ok(())
    }

    /// Why the value that comes next is not what `visitor` asked for.
    #[cold]
    fn unexpected<V: Visitor<'de>>(&mut self, visitor: &V) -> Error {
        let what = match self.next() {
            Ok(b'"') => Unexpected::Other("a string"),
            Ok(b'{') => Unexpected::Map,
            Ok(b'[') => Unexpected::Seq,
            Ok(b't') => Unexpected::Bool(true),
            Ok(b'f') => Unexpected::Bool(false),
            Ok(b'n') => Unexpected::Unit,
            Ok(b'-' | b'0'..=b'9') => Unexpected::Other("a number"),
            Ok(_) | Err(_) => return Error::Syntax,
        };
        serde::de::Error::invalid_type(what, visitor)
    }
}

#[cold]
fn left_behind() -> Error {
    serde::de::Error::custom("entries were left unread")
}

#[inline]
fn visit<'de, V: Visitor<'de>>(number: Number, visitor: V) -> Result<V::Value, Error> {
    match number {
        Number::Unsigned(number) => visitor.visit_u64(number),
        Number::Signed(number) => visitor.visit_i64(number),
        Number::Float(number) => visitor.visit_f64(number),
    }
}

/// Methods that take numbers only.
macro_rules! numbers {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.next()? {
                b'-' | b'0'..=b'9' => self.visit_number(visitor),
                _ => Err(self.unexpected(&visitor)),
            }
        }
    )* };
}

/// Methods that take strings only.
macro_rules! strings {
    ($($method:ident)*) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.next()? {
                b'"' => self.visit_string(visitor),
                _ => Err(self.unexpected(&visitor)),
            }
        }
    )* };
}

/// Methods for integers of 128 bits.
macro_rules! wide {
    ($($method:ident $ty:ty => $visit:ident,)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.next()? {
                b'-' | b'0'..=b'9' => {}
                _ => return Err(self.unexpected(&visitor)),
            }
            let text = std::str::from_utf8(self.scalar()?).map_err(|_| Error::Syntax)?;
            visitor.$visit(text.parse::<$ty>().map_err(|_| Error::Number)?)
        }
    )* };
}

impl<'de> Deserializer<'de> for &mut Document<'_, 'de> {
    type Error = Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            b'"' => self.visit_string(visitor),
            b'{' => self.visit_object(visitor),
            b'[' => self.visit_list(visitor),
            b'-' | b'0'..=b'9' => self.visit_number(visitor),
            b'n' => {
                self.scalar()?;
                visitor.visit_unit()
            }
            b't' | b'f' => self.deserialize_bool(visitor),
            _ => Err(Error::Syntax),
        }
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            byte @ (b't' | b'f') => {
                self.scalar()?;
                visitor.visit_bool(byte == b't')
            }
            _ => Err(self.unexpected(&visitor)),
        }
    }

    numbers!(
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    );
    wide!(deserialize_i128 i128 => visit_i128, deserialize_u128 u128 => visit_u128,);
    strings!(deserialize_char deserialize_str deserialize_string deserialize_identifier);

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            b'"' => {
                let quoted = self.string()?;
                if quoted.has_escapes {
                    visitor.visit_bytes(self.resolved(quoted.raw)?.as_bytes())
                } else {
                    visitor.visit_borrowed_bytes(quoted.raw.as_bytes())
                }
            }
            b'[' => self.visit_list(visitor),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.next()? != b'n' {
            return visitor.visit_some(self);
        }
        self.scalar()?;
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.next()? != b'n' {
            return Err(self.unexpected(&visitor));
        }
        self.scalar()?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == RAW_VALUE {
            return visitor.visit_map(Raw(Some(self.skip()?)));
        }
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            b'[' => self.visit_list(visitor),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            b'{' => self.visit_object(visitor),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            b'{' => self.visit_object(visitor),
            b'[' => self.visit_list(visitor),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            b'"' => visitor.visit_enum(Variant(self)),
            b'{' => {
                self.step_bracket();
                let value = visitor.visit_enum(WholeVariant(self))?;
                self.end(b'}')?;
                Ok(value)
            }
            _ => Err(self.unexpected(&visitor)),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }
}
