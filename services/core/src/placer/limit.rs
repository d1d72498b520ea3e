//! How many removals may go together without a word.

use crate::Refusal;

/// More removals than this wait for a confirmation: more than so many objects, and more than such a share of what a cluster or a namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many objects may go; 0: any number, nothing is held.
    pub objects: u64,
    /// Which share may go, percent.
    pub percent: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            objects: 20,
            percent: 20,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.objects {
            0 => write!(f, "off"),
            objects => write!(f, "{objects},{}%", self.percent),
        }
    }
}

impl std::str::FromStr for Limit {
    type Err = Refusal;

    /// Reads `20,20%`, `20` (of any share) or `off`.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused = || {
            let message = format!("{text:?} is neither OBJECTS[,PERCENT%] nor off");
            Refusal::new("bulk-removals", message)
        };
        if text == "off" {
            return Ok(Self::OFF);
        }
        let (objects, percent) = text.split_once(',').unwrap_or((text, "0"));
        let percent = percent.trim();
        let percent = percent.strip_suffix('%').unwrap_or(percent).trim();
        let percent: u64 = percent.parse().map_err(|_| refused())?;
        if percent > 100 {
            return Err(refused());
        }
        Ok(Self {
            objects: objects.trim().parse().map_err(|_| refused())?,
            percent,
        })
    }
}

impl Limit {
    /// Nothing is held.
    pub const OFF: Self = Self {
        objects: 0,
        percent: 0,
    };

    pub(super) fn is_passed(self, objects: u64, copies: u64, of: u64) -> bool {
        objects > self.objects && copies.saturating_mul(100) > of.saturating_mul(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_it_is_shown() {
        for (text, objects, percent) in [
            ("20,20%", 20, 20),
            ("50,0%", 50, 0),
            ("off", 0, 0),
            ("1,100%", 1, 100),
        ] {
            let limit = Limit { objects, percent };
            assert_eq!(text.parse(), Ok(limit), "{text}");
            assert_eq!(limit.to_string(), text);
        }
        assert_eq!(
            "50".parse(),
            Ok(Limit {
                objects: 50,
                percent: 0
            })
        );
        assert_eq!("0".parse(), Ok(Limit::OFF));
        assert_eq!(
            " 5 , 10 ".parse(),
            Ok(Limit {
                objects: 5,
                percent: 10
            })
        );
        for text in ["", "many", "20,", "20,101%", "-1", "20;20%"] {
            assert!(text.parse::<Limit>().is_err(), "{text:?}");
        }
    }
}
