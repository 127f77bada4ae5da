//! The extended protocol against somebody who knows it well: what names mean, what order means, what an error means.
//! Every message goes byte by byte through the real gate to a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod allowed;
mod api;
mod approved;
mod cancels;
mod chaos;
mod copies;
mod copies_held;
mod copies_of_clients;
mod definitions;
mod documents;
mod ends;
mod flow;
mod limits;
mod links;
mod masks;
mod methods;
mod names;
mod notifications;
mod openings;
mod order;
mod parked;
mod plans;
mod preview;
mod reconnect;
mod refusals;
mod scrubbed;
mod settings;
#[path = "../shared/mod.rs"]
mod shared;
mod written;

use countersign_sim::house::House;
use shared::own_house;

/// A house whose agent has a table of its own that is called like one which is not: `features.order_items`.
async fn house_with_a_twin() -> House {
    house_with_a_twin_and("").await
}

/// The same with more lines of configuration.
async fn house_with_a_twin_and(more: &str) -> House {
    let mut house = own_house(more).await;
    house.stop().await.unwrap();
    house.change("CREATE TABLE features.order_items (LIKE order_items)").await.unwrap();
    house.change("ALTER TABLE features.order_items OWNER TO shop_rw").await.unwrap();
    house.change("GRANT CREATE ON SCHEMA features TO shop_rw").await.unwrap();
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await.unwrap();
    let file = house.folder().join("catalogue/shop.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("schema = \"features\"\nname = \"order_items\"").expect("the twin in the catalogue");
    let own = text[at..].replacen("own = []", "own = [\"etl-agent\"]", 1);
    std::fs::write(&file, [&text[..at], &own].concat()).unwrap();
    house.serve().await.unwrap();
    house
}

/// How many rows of a table bear the mark of [`MARK`].
async fn marked(house: &House, table: &str) -> String {
    house.truth(&format!("SELECT count(*) FROM {table} WHERE quantity = 9999")).await.unwrap()
}

/// Passes where the name means the agent's own table.
const MARK: &str = "UPDATE order_items SET quantity = 9999 WHERE id = 20";
/// Makes it mean that.
const OWN: &str = "SET search_path = features, public";

/// How many items of orders there are: what no test of these may change unseen.
async fn items(house: &House, id: u32) -> String {
    house.truth(&format!("SELECT count(*) FROM order_items WHERE id = {id}")).await.unwrap()
}

/// How many rows the agent's own table has for a customer.
async fn scores(house: &House, customer: u32) -> String {
    house.truth(&format!("SELECT count(*) FROM features.churn WHERE customer_id = {customer}")).await.unwrap()
}

/// A text that writes such a row.
fn score(customer: u32) -> String {
    format!("INSERT INTO features.churn VALUES ({customer}, 0.5, now())")
}
