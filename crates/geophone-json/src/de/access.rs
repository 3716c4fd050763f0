//! What is within a value: elements, entries, keys, variants.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{RAW_VALUE, visit};
use crate::document::Document;
use crate::error::Error;
use crate::number;

/// The elements of a list or the entries of an object, one after the other.
pub(super) struct Entries<'d, 'i, 'de> {
    document: &'d mut Document<'i, 'de>,
    is_first: bool,
}

impl<'d, 'i, 'de> Entries<'d, 'i, 'de> {
    #[inline(always)]
    pub(super) fn new(document: &'d mut Document<'i, 'de>) -> Self {
        Self { document, is_first: true }
    }

    /// Goes to the next one and returns its first byte; `None` before the closing bracket.
    #[inline(always)]
    fn advance(&mut self, bracket: u8) -> Result<Option<u8>, Error> {
        let byte = self.document.next()?;
        if byte == bracket {
            return Ok(None);
        }
        if std::mem::take(&mut self.is_first) {
            return Ok(Some(byte));
        }
        if byte != b',' {
            return Err(Error::Syntax);
        }
        self.document.step();
        self.document.next().map(Some)
    }
}

impl<'de> SeqAccess<'de> for Entries<'_, '_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match self.advance(b']')? {
            None => Ok(None),
            Some(_) => seed.deserialize(&mut *self.document).map(Some),
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        match self.advance(b'}')? {
            None => Ok(None),
            Some(b'"') => seed.deserialize(Key(self.document)).map(Some),
            Some(_) => Err(Error::Syntax),
        }
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        colon(self.document)?;
        seed.deserialize(&mut *self.document)
    }
}

#[inline(always)]
fn colon(document: &mut Document<'_, '_>) -> Result<(), Error> {
    if document.next()? != b':' {
        return Err(Error::Syntax);
    }
    document.step();
    Ok(())
}

/// The key of an entry, which is a string, and can be read as the number or boolean that it spells.
struct Key<'d, 'i, 'de>(&'d mut Document<'i, 'de>);

/// Methods that take keys which spell a number.
macro_rules! numeric_keys {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let text = self.0.string()?.raw.as_bytes();
            let is_number = text.first().is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9'));
            if !is_number || number::end_of_scalar(text, 0) != Some(text.len()) {
                return Err(Error::Type("a key that is no number".into()));
            }
            visit(number::parse(text)?, visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Key<'_, '_, 'de> {
    type Error = Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.visit_string(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.string()?.raw {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Error::Type("a key that is no boolean".into())),
        }
    }

    numeric_keys!(
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    );

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == RAW_VALUE {
            return visitor.visit_map(Raw(Some(self.0.skip()?)));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, name: &'static str, of: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, of, visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_bytes(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_bytes(visitor)
    }

    forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant without content: a string that names it.
pub(super) struct Variant<'d, 'i, 'de>(pub(super) &'d mut Document<'i, 'de>);

impl<'de> EnumAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Error;
    type Variant = NoContent;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, NoContent), Error> {
        Ok((seed.deserialize(self.0)?, NoContent))
    }
}

/// What a variant has that is named by a string.
pub(super) struct NoContent;

impl<'de> VariantAccess<'de> for NoContent {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error::Type("a variant without its content".into()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::Type("a variant without its content".into()))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::Type("a variant without its content".into()))
    }
}

/// A variant with content: the only entry of an object.
pub(super) struct WholeVariant<'d, 'i, 'de>(pub(super) &'d mut Document<'i, 'de>);

impl<'de> EnumAccess<'de> for WholeVariant<'_, '_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let variant = seed.deserialize(&mut *self.0)?;
        colon(self.0)?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for WholeVariant<'_, '_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

/// The text of a value, in the form in which serde_json's `RawValue` takes it: an object of one entry.
pub(super) struct Raw<'de>(pub(super) Option<&'de str>);

impl<'de> MapAccess<'de> for Raw<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.0.map(|_| seed.deserialize(BorrowedStrDeserializer::new(RAW_VALUE))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(BorrowedStrDeserializer::new(self.0.take().ok_or(Error::Syntax)?))
    }
}
