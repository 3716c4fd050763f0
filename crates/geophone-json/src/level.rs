//! Which instructions are used.

use std::fmt;
use std::sync::OnceLock;

/// A set of vector instructions that this machine has: a value of it is the proof, and the only way to get one is to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(pub(crate) Kind);

/// The sets, from the one that every machine has upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Words of eight bytes.
    Portable,
    /// x86-64 with SSSE3: every one since 2006.
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    /// With AVX2, PCLMULQDQ and BMI: since 2013 and 2015.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Level {
    /// What every machine has.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The fastest that this machine has. Asked once for the process.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::all().last().unwrap_or(Self::PORTABLE))
    }

    /// All that this machine has, the fastest last.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.into_iter().filter(|kind| kind.is_here()).map(Self)
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::best()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Ssse3 => "ssse3",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
        })
    }
}

#[cfg(target_arch = "x86_64")]
const KINDS: [Kind; 3] = [Kind::Portable, Kind::Ssse3, Kind::Avx2];
#[cfg(not(target_arch = "x86_64"))]
const KINDS: [Kind; 1] = [Kind::Portable];

impl Kind {
    /// Whether the machine and the operating system have all features that `simd::x86` enables at this level.
    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Ssse3 => is_x86_feature_detected!("ssse3"),
            Self::Avx2 => {
                let has_bits = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("popcnt");
                has_bits && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("pclmulqdq")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_last_of_all_and_every_machine_has_one() {
        let all: Vec<Level> = Level::all().collect();
        assert_eq!(all.first(), Some(&Level::PORTABLE));
        assert_eq!(all.last(), Some(&Level::best()));
    }
}
