//! What moves elsewhere is seen on the pages that are open: at once, or as soon as the line stands again.

use super::person::{APPROVE, DENY, Person, WITHIN, ended, listed};
use countersign_sim::house::{Held, House, SECOND};
use countersign_sim::scratch::free_port;
use serde_json::json;
use std::net::Ipv4Addr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// True once both buttons of the card are there and take no clicks.
fn closed() -> String {
    format!("document.querySelector('{APPROVE}')?.disabled && document.querySelector('{DENY}')?.disabled")
}

#[tokio::test]
async fn a_card_that_was_decided_elsewhere_says_so_and_takes_its_buttons_away() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;

    let psql = house.start("DELETE FROM support_tickets WHERE id = 11").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    grace.open_card(&held).await;
    psql.signal("INT").unwrap();
    grace.until("closed buttons", &closed()).await;
    grace.until("the news", "said.innerText.includes('Withdrawn, just now')").await;
    let intent = json!({ "choice": "approved", "justification": "" });
    let late = grace.post(&format!("/requests/{}/prepare", held.id), intent).await;
    assert_eq!(late.status, 409, "{late:?}");

    let psql = house.start("DELETE FROM support_tickets WHERE id = 12").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    grace.open_card(&held).await;
    house.approve(&held.id).await.unwrap();
    grace.until("closed buttons", &closed()).await;
    grace.until("the news", "said.innerText.includes('just now')").await;
    assert!(ended(psql).await.0.contains("DELETE 1"));
    grace.browser.open(&held.link).await.unwrap();
    assert!(grace.reads().await.contains("Ada Byron"), "who decided is on the record");
}

#[tokio::test]
async fn a_row_of_the_inbox_says_what_became_of_it_and_stays_where_it_is() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    let (first, second) = (
        house.start("DELETE FROM support_tickets WHERE id = 13").unwrap(),
        house.start("DELETE FROM support_tickets WHERE id = 14").unwrap(),
    );
    let held = [Held::seen_by(&first).await.unwrap(), Held::seen_by(&second).await.unwrap()];
    for held in &held {
        grace.until("both rows", &listed(held)).await;
    }
    let places = "return Object.fromEntries([...document.querySelectorAll('.row')]
        .map((row) => [row.dataset.request, row.getBoundingClientRect().top]));";
    let before = grace.browser.run(places, &[]).await.unwrap();
    house.deny(&held[0].id, "no").await.unwrap();
    let row = format!("document.querySelector('.row.over[data-request=\"{}\"]')", held[0].id);
    grace.until("the row that is over", &format!("{row}?.innerText.includes('Denied')")).await;
    assert_eq!(grace.browser.run(places, &[]).await.unwrap(), before, "nothing moved");
    house.approve(&held[1].id).await.unwrap();
    ended(first).await;
    ended(second).await;
}

#[tokio::test]
async fn what_moved_while_the_line_was_down_is_shown_once_it_stands_again() {
    let mut house = House::open().await.unwrap();
    let line = Line::before(&mut house).await;
    let grace = Person::logged_in(&house, SECOND).await;
    let psql = house.start("DELETE FROM support_tickets WHERE id = 15").unwrap();
    let seen = Held::seen_by(&psql).await.unwrap();
    grace.until("the first request", &listed(&seen)).await;
    let over = format!("document.querySelector('.row.over[data-request=\"{}\"]') !== null", seen.id);

    line.cut();
    psql.signal("INT").unwrap();
    ended(psql).await;
    let later = house.start("DELETE FROM support_tickets WHERE id = 16").unwrap();
    let missed = Held::seen_by(&later).await.unwrap();
    line.missed().await;
    assert!(!grace.sees(&listed(&missed)).await && !grace.sees(&over).await, "the line is down");
    line.restore();
    grace.until("the request that was missed", &listed(&missed)).await;
    grace.until("the end that was missed", &over).await;

    grace.open_card(&missed).await;
    line.cut();
    house.deny(&missed.id, "not today").await.unwrap();
    ended(later).await;
    line.missed().await;
    assert!(!grace.sees(&closed()).await, "the line is down");
    line.restore();
    grace.until("closed buttons", &closed()).await;
    grace.until("the news", "said.innerText.includes('Denied, just now')").await;
}

#[tokio::test]
async fn a_page_that_hears_nothing_any_more_says_so() {
    let mut house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    // Logins do not outlive the gate's process.
    house.stop().await.unwrap();
    house.serve().await.unwrap();
    grace.until("a word of it", "fresh.innerText.includes('does not hear from the gate')").await;
    grace.log_in().await;
    let psql = house.start("DELETE FROM support_tickets WHERE id = 17").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    grace.until("the request in the inbox", &listed(&held)).await;
}

/// A line between browsers and the gate that can be cut.
struct Line {
    stands: watch::Sender<bool>,
    /// How often a browser tried it while it was cut.
    tried: watch::Sender<u32>,
}

impl Line {
    /// Puts itself before the inbox of a house.
    async fn before(house: &mut House) -> Self {
        let behind = free_port().unwrap();
        house.stop().await.unwrap();
        let file = house.folder().join("countersign.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let listen = |port: u16| format!("listen = \"127.0.0.1:{port}\"");
        assert!(text.contains(&listen(house.ports.web)));
        std::fs::write(&file, text.replace(&listen(house.ports.web), &listen(behind))).unwrap();
        house.serve().await.unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, house.ports.web)).await.unwrap();
        let line = Self { stands: watch::Sender::new(true), tried: watch::Sender::new(0) };
        let (stands, tried) = (line.stands.clone(), line.tried.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *stands.borrow() {
                    tokio::spawn(carry(near, behind, stands.subscribe()));
                } else {
                    tried.send_modify(|tried| *tried += 1);
                }
            }
        });
        line
    }

    /// Cuts everything that runs over it.
    fn cut(&self) {
        self.tried.send_replace(0);
        self.stands.send_replace(false);
    }

    /// Waits until a browser has noticed.
    async fn missed(&self) {
        let mut tried = self.tried.subscribe();
        tokio::time::timeout(WITHIN, tried.wait_for(|tried| *tried > 0)).await.unwrap().unwrap();
    }

    /// Lets new connections through.
    fn restore(&self) {
        self.stands.send_replace(true);
    }
}

async fn carry(mut near: TcpStream, behind: u16, mut stands: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = stands.wait_for(|stands| !stands) => {}
    }
}
