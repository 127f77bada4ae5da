//! Who is asking and who is approving: agent tokens, people, their keys.
