//! A length of time in a scenario: fixed, or in terms of a setting of the pair, so that one file serves every setting.

use crate::plan::PairPlan;
use loadgen::units::parse_duration;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time: `250ms`, or `2 x ft_activation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount {
    text: String,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Fixed(Duration),
    Heartbeats(f64),
    Activations(f64),
}

impl Amount {
    /// How long that is with the settings of a pair.
    pub fn duration(&self, pair: &PairPlan) -> Duration {
        let of = |ms: u64, times: f64| Duration::from_micros((ms as f64 * times * 1000.0).round() as u64);
        match self.value {
            Value::Fixed(duration) => duration,
            Value::Heartbeats(times) => of(pair.ft_heartbeat_ms, times),
            Value::Activations(times) => of(pair.ft_activation_ms, times),
        }
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = match text.split_once('x') {
            None => Value::Fixed(parse_duration(text).map_err(|error| error.to_string())?),
            Some((times, parameter)) => {
                let wrong =
                    || format!("`{text}`: write a time such as 250ms, or `2 x ft_activation`, or `3 x ft_heartbeat`");
                let times = times.trim().parse().ok().filter(|times| (0.0..=1e6).contains(times)).ok_or_else(wrong)?;
                match parameter.trim() {
                    "ft_heartbeat" => Value::Heartbeats(times),
                    "ft_activation" => Value::Activations(times),
                    _ => return Err(wrong()),
                }
            }
        };
        Ok(Self { text: text.to_owned(), value })
    }
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.text
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_fixed_or_follow_a_setting() {
        let pair = PairPlan { ft_heartbeat_ms: 100, ft_activation_ms: 500, ..PairPlan::default() };
        let ms = |text: &str| text.parse::<Amount>().expect(text).duration(&pair).as_millis();
        assert_eq!((ms("250ms"), ms("2s"), ms("2 x ft_activation"), ms("0.5x ft_heartbeat")), (250, 2000, 1000, 50));
        for wrong in ["", "soon", "2 x ft_soon", "x ft_activation", "-1 x ft_activation"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }
}
