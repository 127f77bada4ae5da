//! Which of the attributes that change with every call some policy reads. Refuses to guess: any use that is not
//! plainly one attribute counts as reading them all.

use serde_json::Value;

/// The per-call attributes that some loaded policy reads. The others carry a constant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) reason: bool,
    pub(crate) session_labels: bool,
    pub(crate) time: bool,
    pub(crate) hour: bool,
    pub(crate) weekday: bool,
}

impl Reads {
    const ALL: Self = Self { reason: true, session_labels: true, time: true, hour: true, weekday: true };

    /// Adds what a policy reads, given its JSON form (Cedar's "JSON policy format").
    pub(crate) fn add(&mut self, policy: &Value) {
        match policy {
            Value::Object(members) => {
                for (key, member) in members {
                    match plain_attribute(key, member) {
                        Some(name) => self.mark(name),
                        None if key == "Var" && member == "context" => *self = Self::ALL,
                        None => self.add(member),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn mark(&mut self, name: &str) {
        match name {
            "reason" => self.reason = true,
            "session_labels" => self.session_labels = true,
            "time" => self.time = true,
            "hour" => self.hour = true,
            "weekday" => self.weekday = true,
            _ => {}
        }
    }
}

// `context.name`, `context has name` and nothing else.
fn plain_attribute<'a>(key: &str, member: &'a Value) -> Option<&'a str> {
    let of_context = member.get("left")? == &serde_json::json!({ "Var": "context" });
    let attribute = member.get("attr")?.as_str()?;
    (matches!(key, "." | "has") && of_context).then_some(attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(condition: &str) -> Reads {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        let policy = cedar_policy::Policy::parse(None, text).expect("a policy");
        let mut reads = Reads::default();
        reads.add(&policy.to_json().expect("json"));
        reads
    }

    #[test]
    fn an_attribute_is_read_where_it_is_named() {
        let none = Reads::default();
        assert_eq!(reads("context.opaque && resource.own"), none);
        assert_eq!(reads("context.reason == \"x\""), Reads { reason: true, ..none });
        assert_eq!(reads("context has hour && 3 < context[\"weekday\"]"), {
            Reads { hour: true, weekday: true, ..none }
        });
        assert_eq!(reads("{\"Var\": context.time}.Var > 3"), Reads { time: true, ..none });
    }

    #[test]
    fn any_other_use_of_the_context_counts_as_reading_all() {
        for condition in [
            "context == {}",
            "{a: context}.a.time > 3",
            "(if true then context else context).opaque",
            "[context].isEmpty()",
            "context has a.b",
        ] {
            assert_eq!(reads(condition), Reads::ALL, "{condition}");
        }
    }
}
