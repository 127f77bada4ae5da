//! Promises of the card.

use super::*;
use crate::fixtures::{OUTSIDER, OWNER, viewer};
use crate::hall::Hall;
use crate::model::card::Card;
use countersign_core::id::Pseudonym;
use countersign_core::lifecycle::{End, State};
use countersign_core::view::{Segment, is_seen};

async fn card(n: u8, cookie: &str) -> String {
    let got = get(&format!("/requests/{}", Fixture::id(n)), cookie).await;
    assert_eq!(got.status, StatusCode::OK);
    got.body
}

fn buttons(html: &str) -> usize {
    html.matches("data-choice=").count()
}

#[tokio::test]
async fn the_card_is_read_in_the_order_effect_who_what_why_decide() {
    let html = card(1, APPROVER).await;
    let order = [
        "id=\"effect\"",
        ">Who<",
        ">Why<",
        ">Where<",
        "aria-label=\"The statement\"",
        ">Bound<",
        ">Held by<",
        ">Needs<",
        "id=\"decide\"",
        "Signs sha256",
    ];
    let places: Vec<usize> = order.iter().map(|mark| html.find(mark).expect(mark)).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn the_people_of_the_chain_get_no_buttons_and_the_reason_why() {
    let html = card(1, OWNER).await;
    assert_eq!(buttons(&html), 0);
    assert!(html.contains("Nobody clears their own"));
}

#[tokio::test]
async fn a_person_of_no_asked_group_gets_no_buttons_and_the_reason_why() {
    let html = card(1, OUTSIDER).await;
    assert_eq!(buttons(&html), 0);
    assert!(html.contains("Only data-owners may review this."));
}

#[tokio::test]
async fn whoever_may_decide_gets_two_buttons_of_one_weight_and_no_focus() {
    let html = card(1, APPROVER).await;
    assert_eq!(buttons(&html), 2);
    assert_eq!(html.matches("<button class=\"button\" type=\"submit\" name=\"choice\"").count(), 2);
    assert!(!html.contains("autofocus"));
}

#[tokio::test]
async fn a_decided_card_has_no_buttons_and_is_its_own_record() {
    let html = card(5, APPROVER).await;
    assert_eq!(buttons(&html), 0);
    for part in
        ["Done", "Barbara Liskov", "agreed with the feature team", "log entry 48,194", "countersign verify"]
    {
        assert!(html.contains(part), "{part}");
    }
}

#[tokio::test]
async fn nothing_an_agent_writes_becomes_markup() {
    let html = card(2, APPROVER).await;
    assert!(!html.contains("<script>alert"));
    assert!(!html.contains("<b>please"));
    assert!(html.contains("&#60;script&#62;alert(1)&#60;/script&#62;"), "{html}");
}

#[tokio::test]
async fn every_piece_of_a_statement_is_shown_for_what_it_is() {
    let html = card(2, APPROVER).await;
    for part in [
        "data-type=\"text\"",
        "data-type=\"number\">4711<",
        "data-type=\"hidden\">12 characters<",
        "<span class=\"bad\">U+202E right-to-left override</span>",
        "<span class=\"bad\">U+200B zero-width space</span>",
        "<span class=\"bad\">8 line breaks</span>",
        "o&#39;Brien &#38; &#34;sons&#34;",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn no_character_that_hides_or_turns_reaches_the_page_by_any_field() {
    let evil = "a\u{202e}b\u{200b}c\u{1b}d";
    let viewer = viewer(APPROVER).expect("a viewer");
    let mut dossier =
        Fixture::default().dossier(&viewer, &Fixture::id(5)).expect("a house").expect("a request");
    let view = dossier.view.as_mut().expect("a view");
    view.reason = Some(evil.into());
    view.resources = vec![evil.into()];
    view.chain.agent = evil.into();
    view.chain.pipeline = Some(evil.into());
    view.chain.acts_for = Some(evil.into());
    view.chain.owner = evil.into();
    view.place.database = evil.into();
    view.place.role = evil.into();
    view.place.address = evil.into();
    view.columns.iter_mut().for_each(|c| {
        c.name = evil.into();
        c.part = Some(evil.into());
    });
    view.held_by.iter_mut().for_each(|r| r.text = evil.into());
    view.statement =
        vec![Segment::Text(evil.into()), Segment::String(evil.into()), Segment::Redacted(evil.into())];
    view.params = vec![Segment::Number(evil.into())];
    view.client = Some(evil.into());
    view.steps = vec![countersign_core::view::Step {
        kinds: view.kinds.clone(),
        resources: vec![evil.into()],
        rows: None,
        opaque: true,
        unknown: true,
        statement: view.statement.clone(),
    }];
    dossier.before.said = Some(evil.into());
    for filed in &mut dossier.facts {
        filed.person = Some(evil.into());
        filed.justification = Some(evil.into());
    }
    let printed = format!("{:?}", Texts(&Card::new(&dossier, &viewer, NOW)));
    assert!(printed.chars().all(is_seen), "{printed}");
}

// Every text of a card, printed raw: `{:?}` of a text would escape what is looked for.
struct Texts<'a>(&'a Card);

impl std::fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let card = self.0;
        let shown = card.shown.as_ref().expect("a view");
        let mut all = vec![shown.subject.clone(), shown.reason.clone().unwrap_or_default(), card.title()];
        all.extend(shown.chain.iter().map(|l| l.name.clone()));
        all.extend(shown.place.clone());
        all.extend(shown.columns.iter().flat_map(|c| c.names.clone()));
        all.extend(shown.held_by.iter().map(|(_, t)| t.clone()));
        all.push(card.before.clone());
        all.extend(
            card.decisions.iter().map(|d| format!("{}{:?}", d.who, d.why.as_deref().unwrap_or_default())),
        );
        all.extend(card.story.iter().map(|m| m.what.clone() + m.said.as_deref().unwrap_or_default()));
        use crate::model::statement::Piece;
        let piece = |p: &Piece| match p {
            Piece::Text(t) | Piece::Redacted(t) | Piece::Padding(t) => t.clone(),
            Piece::Literal { text, .. } => text.clone(),
            Piece::Invisible { code, name } => format!("{code} {name}"),
        };
        let steps = shown.steps.iter();
        all.extend(steps.clone().map(|step| step.subject.clone()));
        let of_steps = steps.flat_map(|step| &step.statement);
        all.extend(shown.statement.iter().chain(&shown.params).chain(of_steps).map(piece));
        f.write_str(&all.join("\n"))
    }
}

#[test]
fn a_card_whose_view_is_gone_cannot_be_decided() {
    let viewer = viewer(APPROVER).expect("a viewer");
    let mut dossier =
        Fixture::default().dossier(&viewer, &Fixture::id(1)).expect("a house").expect("a request");
    dossier.view = None;
    let card = Card::new(&dossier, &viewer, NOW);
    assert!(!card.standing.may_decide(), "what is not seen is not signed");
}

#[test]
fn an_expired_card_and_one_decided_by_the_same_person_have_no_buttons() {
    let viewer = viewer(APPROVER).expect("a viewer");
    let dossier = Fixture::default().dossier(&viewer, &Fixture::id(4)).expect("a house").expect("a request");
    assert!(Card::new(&dossier, &viewer, NOW).standing.may_decide());
    let later = dossier.record.terms.expires_at;
    assert!(!Card::new(&dossier, &viewer, later).standing.may_decide());
    let mut voted = viewer;
    voted.person = Pseudonym::from_bytes([4; countersign_core::id::ID_BYTES]);
    assert!(!Card::new(&dossier, &voted, NOW).standing.may_decide());
}

#[test]
fn an_unknown_outcome_is_never_called_a_failure() {
    let viewer = viewer(APPROVER).expect("a viewer");
    let mut dossier =
        Fixture::default().dossier(&viewer, &Fixture::id(1)).expect("a house").expect("a request");
    dossier.record.state = State::Ended { end: End::Unknown };
    let outcome = Card::new(&dossier, &viewer, NOW).outcome.expect("an outcome");
    assert_eq!(outcome.title, "Outcome unknown");
    assert!(outcome.sentence.contains("never tried again by itself"));
}

// The page that people sign on, byte for byte. Where it changes on purpose: delete the file, run the test twice.
#[tokio::test]
async fn the_card_is_the_page_that_was_reviewed() {
    let html = card(1, APPROVER).await;
    let base = super::super::assets::base();
    let html = html.replace(base, "/assets/HASH");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/tests/golden/card.html");
    let Ok(golden) = std::fs::read_to_string(path) else {
        std::fs::write(path, html).expect("the golden page is written");
        panic!("there was no golden page: it is written now; read it, then run again");
    };
    assert_eq!(html, golden);
}
