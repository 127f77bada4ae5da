//! Every page as people see it: no finding of axe-core, nothing wider than a phone, in both themes; and its pictures.
//! They go to `target/screens`; with `COUNTERSIGN_BLESS=1` small ones go to `docs/screens`, which git keeps.

use super::person::{APPROVE, DENY, Person, ended, ready};
use countersign_sim::house::{Held, House, OWNER, SECOND};
use countersign_sim::scratch::work_tree;
use countersign_sim::webdriver::Scheme;
use std::path::PathBuf;

/// The widths, with whether they are a phone's.
const WIDTHS: [(u32, u32, bool); 2] = [(360, 780, true), (1280, 900, false)];
const SCHEMES: [(Scheme, &str); 2] = [(Scheme::Light, "light"), (Scheme::Dark, "dark")];

/// What an agent does before it asks for what is held.
const MORNING: &str = "SELECT count(*) FROM products;
SELECT id, email FROM customers WHERE id = 7;
UPDATE features.churn SET score = 0.5 WHERE customer_id = 1;
SET countersign.reason = 'refresh churn features';
";

#[tokio::test]
async fn every_page_is_accessible_and_fits_a_phone_in_both_themes() {
    let house = House::open().await.unwrap();
    let mut album = Album::new();

    let grace = arrival(&house, &mut album).await;

    // An earlier request that somebody denied, then two that wait.
    let psql = house.start("COPY customers TO STDOUT").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    house.deny(&held.id, "name the columns you need").await.unwrap();
    ended(psql).await;
    let export = format!("{MORNING}COPY customers (id, name, email, phone, country) TO STDOUT");
    let export = house.start(&export).unwrap();
    let exported = Held::seen_by(&export).await.unwrap();
    let delete =
        house.start("DELETE FROM support_tickets t USING orders o WHERE o.id = t.id AND t.id < 30").unwrap();
    let deleted = Held::seen_by(&delete).await.unwrap();
    grace.open("/inbox").await;
    album.take(&grace, "inbox").await;
    grace.open_card(&exported).await;
    let card = grace.reads().await;
    for part in [
        "refresh churn features",
        "1 in 30 days, 0 approved, 1 denied (“name the columns you need”)",
        "valid for 5 min once approved",
        "2 reads, 1 write, touched pii.email",
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }
    album.take(&grace, "card").await;

    // One message of several statements: psql joins what `\\;` separates.
    let plan =
        "CREATE TABLE features.loyalty (customer_id bigint PRIMARY KEY, points int NOT NULL DEFAULT 0)\\;
        -- whoever has ordered this year
        INSERT INTO features.loyalty (customer_id) SELECT DISTINCT customer_id FROM orders\\;
        UPDATE features.loyalty SET points = 10 WHERE customer_id <= 100\\;
        DELETE FROM order_items WHERE id BETWEEN 301 AND 305;";
    let plan = house.start(plan).unwrap();
    let planned = Held::seen_by(&plan).await.unwrap();
    grace.open_card(&planned).await;
    assert!(grace.reads().await.contains("A plan of 4 statements, in this order, in one transaction"));
    album.take(&grace, "plan").await;
    house.deny(&planned.id, "later").await.unwrap();
    ended(plan).await;

    let mara = Person::logged_in(&house, OWNER).await;
    mara.browser.open(&exported.link).await.unwrap();
    album.take(&mara, "card-of-its-owner").await;
    mara.open("/inbox?show=watch").await;
    album.look(&mara, "inbox of an owner").await;

    grace.open_card(&exported).await;
    grace.browser.type_text("#why", "agreed with the feature team").await.unwrap();
    grace.decide(APPROVE).await;
    grace.until("its own record", "document.querySelector('.verdict')?.innerText === 'Done'").await;
    assert!(ended(export).await.0.lines().count() > 9_000);
    album.take(&grace, "decided").await;
    grace.open_card(&deleted).await;
    grace.browser.type_text("#why", "the tickets are still open").await.unwrap();
    grace.decide(DENY).await;
    ended(delete).await;
    album.look(&grace, "denied").await;
    grace.open("/nowhere").await;
    album.look(&grace, "nothing here").await;
    for page in ["history", "log"] {
        grace.open(&format!("/{page}")).await;
        album.take(&grace, page).await;
    }
    people(&house, &grace, &mut album).await;
    album.close();
}

/// From the one-time link to an inbox in which nothing waits.
async fn arrival(house: &House, album: &mut Album) -> Person {
    let grace = Person::sits_down(house).await;
    let (link, code) = house.invite(SECOND).await.unwrap();
    grace.browser.open(&link).await.unwrap();
    grace.until("the page of the link", &ready("#enrol button")).await;
    album.take(&grace, "enrol").await;
    grace.enter(&code).await;
    grace.until("a passkey that waits", "said.innerText.includes('Your passkey is made')").await;
    house.vouch().await.unwrap();
    grace.browser.open(&link).await.unwrap();
    album.look(&grace, "error").await;
    grace.open("/login").await;
    grace.until("the login", &ready("#login button")).await;
    album.take(&grace, "login").await;
    grace.log_in().await;
    album.take(&grace, "inbox-empty").await;
    grace
}

/// The page of people with somebody on it who waits for a voucher.
async fn people(house: &House, grace: &Person, album: &mut Album) {
    let newcomer = Person::sits_down(house).await;
    let (link, code) = house.invite(OWNER).await.unwrap();
    newcomer.browser.open(&link).await.unwrap();
    newcomer.enter(&code).await;
    newcomer.until("a passkey that waits", "said.innerText.includes('Your passkey is made')").await;
    grace.open("/people").await;
    grace.until("a key to vouch for", &ready("form.vouch button")).await;
    album.take(grace, "people").await;
}

/// What was found so far, on all pages: one run shows everything that is wrong.
struct Album {
    folder: PathBuf,
    ending: &'static str,
    wrong: Vec<String>,
}

impl Album {
    #[expect(clippy::disallowed_methods, reason = "a test is asked to bless by its environment")]
    fn new() -> Self {
        let bless = std::env::var("COUNTERSIGN_BLESS").is_ok_and(|word| word == "1");
        let (folder, ending) = if bless { ("docs/screens", "webp") } else { ("target/screens", "png") };
        let folder = work_tree().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, ending, wrong: Vec::new() }
    }

    /// Looks at the page that is open, and keeps pictures of it.
    async fn take(&mut self, person: &Person, name: &str) {
        self.each(person, name, true).await;
    }

    /// Looks at the page that is open.
    async fn look(&mut self, person: &Person, name: &str) {
        self.each(person, name, false).await;
    }

    async fn each(&mut self, person: &Person, name: &str, keep: bool) {
        let browser = &person.browser;
        for (width, height, phone) in WIDTHS {
            browser.viewport(width, height, phone).await.unwrap();
            for (scheme, word) in SCHEMES {
                browser.colour_scheme(scheme).await.unwrap();
                let found = browser.axe().await.unwrap();
                self.wrong.extend(found.iter().map(|what| format!("{name}, {width} px, {word}: {what}")));
                let wide = browser.run("return document.documentElement.scrollWidth", &[]).await.unwrap();
                if wide.as_u64().is_none_or(|wide| wide > u64::from(width)) {
                    self.wrong.push(format!("{name} is {wide} px wide at {width} px"));
                }
                if keep {
                    let picture = self.folder.join(format!("{name}-{width}-{word}.{}", self.ending));
                    browser.screenshot_of_page(&picture).await.unwrap();
                }
            }
        }
        browser.colour_scheme(Scheme::Light).await.unwrap();
        self.wrong.extend(person.complaints().await);
    }

    fn close(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}
