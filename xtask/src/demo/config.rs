//! Who is in the story. Pure text; knows no process.

/// The player's handle: the first approver.
pub const PLAYER: &str = "you";
/// Whoever answers for the agent.
pub const OWNER: &str = "mara";
/// Both, as they stand in the configuration.
pub const PEOPLE: &str = r#"# You approve.
[[people]]
name = "you"
display = "You"
groups = ["approvers"]

# She answers for the agent, so she never approves what it asks for.
[[people]]
name = "mara"
display = "Mara Lindqvist"
groups = ["approvers"]
"#;
