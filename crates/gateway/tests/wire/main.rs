//! The extended protocol against somebody who knows it well: what names mean, what order means, what an error means.
//! Every message goes byte by byte through the real gate to a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod approved;
mod ends;
mod limits;
mod masks;
mod names;
mod order;
#[path = "../shared/mod.rs"]
mod shared;

use countersign_sim::house::House;

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
