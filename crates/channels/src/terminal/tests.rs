//! Promises of the card in a terminal.

use super::*;
use crate::fixtures::{APPROVER, Fixture, NOW, viewer};
use crate::hall::Hall;

fn printed(n: u8) -> String {
    let viewer = viewer(APPROVER).expect("a viewer");
    let dossier = Fixture::default().dossier(&viewer, &Fixture::id(n)).expect("a house").expect("a request");
    card(&Card::new(&dossier, &viewer, NOW))
}

#[test]
fn the_terminal_shows_the_card_in_the_order_of_the_page() {
    let text = printed(1);
    let order = ["EXPORT", "Who", "Why", "Where", "| COPY customers", "Bound", "Held by", "Needs", "Signs"];
    let places: Vec<usize> = order.iter().map(|word| text.find(word).expect(word)).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn no_character_that_a_terminal_obeys_is_printed() {
    let viewer = viewer(APPROVER).expect("a viewer");
    let mut dossier =
        Fixture::default().dossier(&viewer, &Fixture::id(2)).expect("a house").expect("a request");
    let view = dossier.view.as_mut().expect("a view");
    view.chain.agent = "etl\u{1b}[2J".into();
    view.requirement = "1 of\u{1b}]0;x\u{7}".into();
    view.held_by.iter_mut().for_each(|r| r.text = "a\rb\u{202e}".into());
    let text = card(&Card::new(&dossier, &viewer, NOW));
    assert!(text.chars().all(|c| c == '\n' || is_seen(c)), "{text:?}");
    assert!(text.contains("⟨U+001B⟩[2J"));
    let digest = dossier.record.terms.digest().expect("a digest");
    let text = super::view(dossier.view.as_ref().expect("a view"), &digest, NOW);
    assert!(text.chars().all(|c| c == '\n' || is_seen(c)), "{text:?}");
}

#[test]
fn invisible_characters_are_named_in_place() {
    assert!(printed(2).contains("⟨U+202E right-to-left override⟩"), "{}", printed(2));
    assert!(printed(2).contains("⟨8 line breaks⟩"));
}

#[test]
fn the_terminal_says_who_must_approve_in_the_words_of_the_page() {
    let viewer = viewer(APPROVER).expect("a viewer");
    let dossier = Fixture::default().dossier(&viewer, &Fixture::id(1)).expect("a house").expect("a request");
    let page = Card::new(&dossier, &viewer, NOW);
    assert_eq!(page.needs, "1 of data-owners, by passkey; valid for 5 min once approved");
    let digest = dossier.record.terms.digest().expect("a digest");
    let text = super::view(dossier.view.as_ref().expect("a view"), &digest, NOW);
    for part in [page.needs.as_str(), "41 reads, 0 writes, touched pii.email"] {
        assert!(text.contains(part) && printed(1).contains(part), "{part}: {text}");
    }
    assert!(printed(1).contains("3 in 30 days, 2 approved, 1 denied (“use the view”)"), "{}", printed(1));
}

#[test]
fn the_terminal_shows_the_digest_that_the_page_shows() {
    let viewer = viewer(APPROVER).expect("a viewer");
    let dossier = Fixture::default().dossier(&viewer, &Fixture::id(1)).expect("a house").expect("a request");
    let digest = dossier.record.terms.digest().expect("a digest");
    assert!(printed(1).contains(&format!("sha256 {}", digest.short())));
}
