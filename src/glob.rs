//! Patterns with `*` (any run of characters, also none) and `?` (any one), as IAM and our settings write them.

/// One piece of a pattern over characters of type `C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<C> {
    /// This character.
    Is(C),
    /// Any run of characters, also none.
    Any,
    /// Any one character.
    One,
}

/// Whether `text` matches `pattern`, letter by letter with case.
pub fn matches(pattern: &str, text: &str) -> bool {
    let piece = |byte: &u8| match byte {
        b'*' => Piece::Any,
        b'?' => Piece::One,
        byte => Piece::Is(*byte),
    };
    matches_pieces(pattern.as_bytes(), text.as_bytes(), piece, utf8_length)
}

/// Whether `text` matches `pattern`, whose pieces `piece` tells; `width` is how much of `text` is one character. Linear in
/// `text` for each `*`; no recursion, so no pattern can be made slow.
pub fn matches_pieces<P, C: Copy + PartialEq>(
    pattern: &[P],
    text: &[C],
    piece: impl Fn(&P) -> Piece<C>,
    width: impl Fn(C) -> usize,
) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to take up again after a mismatch: behind the last `*`, with one more given to it.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p).map(&piece) {
            Some(Piece::Any) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(Piece::One) => (p, t) = (p + 1, t + width(text[t])),
            Some(Piece::Is(c)) if c == text[t] => (p, t) = (p + 1, t + 1),
            Some(Piece::Is(_)) | None => match retry {
                Some((behind, from)) => {
                    // A whole character more, or `?` would take the rest of one for another.
                    let from = from + width(text[from]);
                    retry = Some((behind, from));
                    (p, t) = (behind, from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|rest| piece(rest) == Piece::Any)
}

/// Bytes of the character that begins with `first`.
const fn utf8_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0..=0xef => 3,
        0xc0..=0xdf => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("anthropic.claude-*", "anthropic.claude-3-sonnet", true),
            ("anthropic.claude-*", "anthropic.claude", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*sonnet*v1:?", "anthropic.claude-3-sonnet-2024-v1:0", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("a?c", "aäc", true),
            ("Legal", "legal", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    /// What a pattern says, character by character and without haste.
    fn plainly(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], rest) => rest.is_empty(),
            (['*', behind @ ..], _) => (0..=text.len()).any(|skipped| plainly(behind, &text[skipped..])),
            (['?', behind @ ..], [_, rest @ ..]) => plainly(behind, rest),
            ([c, behind @ ..], [first, rest @ ..]) => c == first && plainly(behind, rest),
            (_, []) => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn it_says_what_a_plain_reading_says(pattern in "[aé€*?]{0,8}", text in "[aé€]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            proptest::prop_assert_eq!(matches(&pattern, &text), plainly(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn a_question_mark_is_a_whole_character_behind_a_star_too() {
        assert!(!matches("*??xzz", "€xzz"));
    }

    #[test]
    fn no_pattern_is_slow() {
        let text = "a".repeat(100_000);
        assert!(!matches(&("*a".repeat(20) + "b"), &text));
    }
}
