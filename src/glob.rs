//! Patterns with `*` (any run of characters, also none) and `?` (any one), as IAM and our settings write them.

/// Whether `text` matches `pattern`, letter by letter with case. Linear in `text` for each `*`; no recursion, so no
/// pattern can be made slow.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to take up again after a mismatch: behind the last `*`, with one more byte given to it.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == text[t] => {
                p += 1;
                t += 1;
            }
            Some(b'?') => {
                p += 1;
                t += utf8_length(text[t]);
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    p = after_star;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
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

    #[test]
    fn no_pattern_is_slow() {
        let text = "a".repeat(100_000);
        assert!(!matches(&("*a".repeat(20) + "b"), &text));
    }
}
