//! How rare a value of Student's t is: −log10 of the upper tail, from a table that is made once.
//!
//! The tail is the regularised incomplete beta function, `P(T > t) = ½ I_x(ν/2, ½)` with `x = ν / (ν + t²)` (Abramowitz
//! and Stegun 26.7.1), by its continued fraction (26.5.8). Degrees of freedom are whole, so that the gamma functions
//! reduce to a recurrence. Beyond the table the tail is a power of `t`, which is what it is in the limit.

use std::sync::OnceLock;

/// Most degrees of freedom: a prior's and forty days'.
pub const FREEDOM_MAX: usize = 64;
/// The table's step in t.
const STEP: f64 = 0.05;
/// The table's largest t.
const T_MAX: f64 = 24.0;
const COLUMNS: usize = (T_MAX / STEP) as usize + 2;

/// −log10 P(T > t) for `freedom` degrees of freedom (1 to [`FREEDOM_MAX`], taken as the nearest of these). From 0.3 at
/// the middle upwards; below the middle it goes to 0. Rises with `t`.
pub fn surprise(t: f64, freedom: usize) -> f64 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let table = TABLE.get_or_init(table);
    let freedom = freedom.clamp(1, FREEDOM_MAX);
    if t <= 0.0 || t.is_nan() {
        // The lower half says nothing; a gentle slope keeps the order.
        return 0.301 * t.max(-40.0).exp().min(1.0);
    }
    let row = &table[(freedom - 1) * COLUMNS..freedom * COLUMNS];
    if t >= T_MAX {
        // P falls like t^-ν.
        return f64::from(row[COLUMNS - 2]) + freedom as f64 * (t / T_MAX).log10();
    }
    let place = t / STEP;
    let index = place as usize;
    let (left, right) = (f64::from(row[index]), f64::from(row[index + 1]));
    left + (right - left) * (place - index as f64)
}

fn table() -> Vec<f32> {
    let mut all = Vec::with_capacity(FREEDOM_MAX * COLUMNS);
    // Γ((ν+1)/2) / Γ(ν/2): 1/√π for ν = 1, and ν/2 over the one before after that.
    let mut ratio = std::f64::consts::FRAC_1_PI.sqrt();
    for freedom in 1..=FREEDOM_MAX {
        all.extend((0..COLUMNS).map(|column| exact(column as f64 * STEP, freedom as f64, ratio) as f32));
        ratio = freedom as f64 / 2.0 / ratio;
    }
    all
}

/// −log10 P(T > t), t ≥ 0, by the continued fraction.
fn exact(t: f64, freedom: f64, ratio: f64) -> f64 {
    let (a, b) = (freedom / 2.0, 0.5);
    let x = freedom / (freedom + t * t);
    // 1 / B(a, ½) = Γ(a + ½) / (Γ(a) √π).
    let inverse_beta = ratio / std::f64::consts::PI.sqrt();
    let front = inverse_beta.ln() + a * x.ln() + b * (1.0 - x).max(f64::MIN_POSITIVE).ln();
    if x < (a + 1.0) / (a + b + 2.0) {
        let log = front + fraction(x, a, b).ln() - a.ln();
        return 2f64.log10() - log / std::f64::consts::LN_10;
    }
    let whole = 1.0 - front.exp() * fraction(1.0 - x, b, a) / b;
    2f64.log10() - whole.max(f64::MIN_POSITIVE).log10()
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a - 1.0 + 2.0 * m) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 1.0 + 2.0 * m));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-12 {
            break;
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_printed_tables() {
        // Upper 2.5 % and 0.1 % points of Student's t (any statistics table).
        for (freedom, t, p) in
            [(1, 12.706, 0.025), (6, 2.447, 0.025), (10, 2.228, 0.025), (30, 2.042, 0.025), (10, 4.144, 0.001), (40, 3.307, 0.001)]
        {
            let got = 10f64.powf(-surprise(t, freedom));
            assert!((got / p - 1.0).abs() < 0.01, "{freedom} {t}: {got} is not {p}");
        }
    }

    #[test]
    fn rises_with_t_and_has_no_step_at_the_end_of_the_table() {
        for freedom in [1, 6, 20, 46, FREEDOM_MAX] {
            let mut before = 0.0;
            for step in -100..6_000 {
                let now = surprise(f64::from(step) * 0.01, freedom);
                assert!(now >= before && now.is_finite(), "{freedom} at {step}");
                assert!(step < 0 || now - before < 0.35, "{freedom}: a step at {step}");
                before = now;
            }
        }
    }

    #[test]
    fn nonsense_says_nothing() {
        assert!(surprise(f64::NAN, 10) < 0.4);
        assert!(surprise(5.0, 0) > 0.0);
        assert!(surprise(f64::INFINITY, 10).is_infinite());
    }
}
