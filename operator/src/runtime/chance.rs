//! Random fractions for jitter. The one place that draws them; whoever decides with them is pure.

use aws_lc_rs::rand;

/// A random number from 0 to 1; a half, should the generator of the system fail.
pub fn fraction() -> f64 {
    let mut bytes = [0; 4];
    if rand::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
