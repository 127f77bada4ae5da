//! The shop's rows, in PostgreSQL's COPY text format, the same at each call. Knows no connection.

use std::fmt::Write;

use super::words::{
    ADJECTIVES, COMPLAINTS, COUNTRIES, FAMILY, GIVEN, ORDER_STATES, PAYMENT_STATES, SUBJECTS, THINGS,
};

/// How many customers the shop has, and rows each of its feature tables.
pub const CUSTOMERS: u64 = 10_000;
/// How many products it sells.
pub const PRODUCTS: u64 = 200;
/// How many orders were placed; each has one payment and one or two items.
pub const ORDERS: u64 = 6_000;
/// How many tickets its customers wrote.
pub const SUPPORT_TICKETS: u64 = 3_000;

/// Where the sequence of numbers begins.
const SEED: u64 = 0x0063_6f75_6e74_6572;
/// What an order may hold of one product.
const QUANTITY_MAX: u64 = 3;

/// One table's rows.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) table: &'static str,
    pub(super) rows: u64,
    pub(super) text: String,
}

/// All tables, parents before children.
pub(super) fn sheets() -> Vec<Sheet> {
    let mut dice = Dice(SEED);
    let mut sheets = vec![customers(&mut dice)];
    let (products, prices) = products(&mut dice);
    sheets.push(products);
    sheets.extend(orders(&mut dice, &prices));
    sheets.push(support_tickets(&mut dice));
    sheets.push(churn(&mut dice));
    sheets.push(spend(&mut dice));
    sheets
}

/// A small linear congruential generator with mixed output: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed ^ (mixed >> 33)) % bound.max(1)
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let index = self.below(words.len() as u64);
        usize::try_from(index).ok().and_then(|index| words.get(index)).copied().unwrap_or_default()
    }

    fn moment(&mut self) -> String {
        let (year, month, day) = (2023 + self.below(3), 1 + self.below(12), 1 + self.below(28));
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}+00")
    }
}

impl Sheet {
    fn new(table: &'static str) -> Self {
        Self { table, rows: 0, text: String::new() }
    }

    /// Adds a row; none of our words needs an escape in COPY's text format.
    fn row(&mut self, fields: std::fmt::Arguments<'_>) {
        self.rows += 1;
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{fields}");
    }
}

fn customers(dice: &mut Dice) -> Sheet {
    let mut sheet = Sheet::new("customers");
    for id in 1..=CUSTOMERS {
        let (given, family) = (dice.pick(GIVEN), dice.pick(FAMILY));
        let email = email(given, family, id);
        // Numbers that the British regulator keeps for drama; a tenth gave none.
        let phone = if dice.below(10) == 0 {
            r"\N".to_owned()
        } else {
            format!("+44 7700 900{:03}", dice.below(1000))
        };
        let (card, country, since) = (dice.below(10_000), dice.pick(COUNTRIES), dice.moment());
        let opted_in = if dice.below(3) == 0 { "t" } else { "f" };
        sheet.row(format_args!(
            "{id}\t{given} {family}\t{email}\t{phone}\t{card:04}\t{country}\t{since}\t{opted_in}"
        ));
    }
    sheet
}

fn email(given: &str, family: &str, id: u64) -> String {
    let plain: String = format!("{given}.{family}")
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
        .collect();
    format!("{plain}.{id}@example.org")
}

fn products(dice: &mut Dice) -> (Sheet, Vec<u64>) {
    let mut sheet = Sheet::new("products");
    let mut prices = Vec::new();
    for id in 1..=PRODUCTS {
        let (adjective, thing, price) =
            (dice.pick(ADJECTIVES), dice.pick(THINGS), 290 + 10 * dice.below(1500));
        sheet.row(format_args!("{id}\tSKU-{:05}\t{adjective} {thing}\t{price}", 10_000 + id * 7));
        prices.push(price);
    }
    (sheet, prices)
}

fn orders(dice: &mut Dice, prices: &[u64]) -> [Sheet; 3] {
    let mut orders = Sheet::new("orders");
    let mut items = Sheet::new("order_items");
    let mut payments = Sheet::new("payments");
    for id in 1..=ORDERS {
        let mut total = 0;
        for _ in 0..=dice.below(2) {
            let product = 1 + dice.below(PRODUCTS);
            let price =
                usize::try_from(product - 1).ok().and_then(|at| prices.get(at)).copied().unwrap_or_default();
            let quantity = 1 + dice.below(QUANTITY_MAX);
            total += price * quantity;
            items.row(format_args!("{}\t{id}\t{product}\t{quantity}\t{price}", items.rows + 1));
        }
        let (customer, status, placed) = (1 + dice.below(CUSTOMERS), dice.pick(ORDER_STATES), dice.moment());
        orders.row(format_args!("{id}\t{customer}\t{status}\t{total}\t{placed}"));
        // `ZZ` is no country, so these account numbers are nobody's.
        let (check, bank) = (10 + dice.below(89), dice.below(10_000_000_000_000_000));
        let paid = dice.pick(PAYMENT_STATES);
        payments.row(format_args!("{id}\t{id}\tZZ{check}{bank:018}\t{total}\t{paid}"));
    }
    [orders, items, payments]
}

fn support_tickets(dice: &mut Dice) -> Sheet {
    let mut sheet = Sheet::new("support_tickets");
    for id in 1..=SUPPORT_TICKETS {
        let (customer, subject, complaint) =
            (1 + dice.below(CUSTOMERS), dice.pick(SUBJECTS), dice.pick(COMPLAINTS));
        let (name, phone, at) = (dice.pick(GIVEN), dice.below(1000), dice.moment());
        sheet.row(format_args!(
            "{id}\t{customer}\t{subject}\t{complaint} You can call me on +44 7700 900{phone:03}. Regards, {name}\t{at}"
        ));
    }
    sheet
}

fn churn(dice: &mut Dice) -> Sheet {
    let mut sheet = Sheet::new("features.churn");
    for customer in 1..=CUSTOMERS {
        let (score, at) = (dice.below(1000), dice.moment());
        sheet.row(format_args!("{customer}\t0.{score:03}\t{at}"));
    }
    sheet
}

fn spend(dice: &mut Dice) -> Sheet {
    let mut sheet = Sheet::new("features.spend");
    for customer in 1..=CUSTOMERS {
        let (orders, at) = (dice.below(9), dice.moment());
        let total = orders * (500 + dice.below(9_000));
        sheet.row(format_args!("{customer}\t{total}\t{orders}\t{at}"));
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_is_the_same_at_each_call() {
        let (one, two) = (sheets(), sheets());
        assert!(one.iter().zip(&two).all(|(one, two)| one.text == two.text));
        let customers = &one.first().unwrap().text;
        assert!(customers.starts_with("1\t"), "{}", &customers[..80]);
        assert_eq!(customers.lines().count() as u64, CUSTOMERS);
    }
}
