//! Numbers in 16 bits: the upper half of an `f32` (bfloat16), rounded to nearest.
//!
//! Eight bits of exponent and seven of fraction: any magnitude, 0.4 % exact. Good for decayed means, of which an actor
//! has a hundred; not for sums that must be exact.

use serde::{Deserialize, Serialize};

/// A number, 0.4 % exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Half(u16);

impl Half {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Below every number: negative infinity.
    pub const LOWEST: Self = Self(0xff80);

    /// The nearest half of `value`. What is not finite becomes 0: bad numbers must not stay in a memory.
    pub const fn new(value: f64) -> Self {
        let single = value as f32;
        if !single.is_finite() {
            return Self(0);
        }
        // Round half up in the bits that are dropped; a carry into the exponent is what rounding up means.
        Self((single.to_bits().saturating_add(0x8000) >> 16) as u16)
    }

    /// The greater of this and `value`: of any order of values the same.
    pub const fn max(self, value: f64) -> Self {
        let other = Self::new(value);
        if other.get() > self.get() { other } else { self }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        f32::from_bits((self.0 as u32) << 16) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_bad_stays() {
        assert_eq!(Half::new(f64::NAN).get(), 0.0);
        assert_eq!(Half::new(f64::INFINITY).get(), 0.0);
        assert_eq!(Half::new(0.0), Half::default());
    }

    proptest! {
        #[test]
        fn is_exact_to_half_a_percent(value in 1e-6f64..1e12) {
            let kept = Half::new(value).get();
            prop_assert!((kept / value - 1.0).abs() < 0.004, "{} for {}", kept, value);
        }
    }
}
