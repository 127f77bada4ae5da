//! The sample shop: tables with invented people in them, and the two roles that a gate would hold. Knows no gate.

mod rows;
mod words;

use std::pin::pin;

use anyhow::{Context, Result};
use futures_util::SinkExt;
use tokio_postgres::Client;

use crate::scratch;
use crate::scratch_pg::ScratchPg;
use rows::Sheet;

pub use rows::{CUSTOMERS, ORDERS, PRODUCTS, SUPPORT_TICKETS};

/// The database the shop lives in.
pub const DATABASE: &str = "shop";
/// The role that may only read.
pub const READER: &str = "reporting_ro";
/// The role that may also write rows, and owns the schema `features`.
pub const WRITER: &str = "shop_rw";

/// The shop's roles and their passwords.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The password of [`READER`].
    pub reader_password: String,
    /// The password of [`WRITER`].
    pub writer_password: String,
}

impl Shop {
    /// Creates the database, its tables, its rows (the same at each call) and its roles.
    ///
    /// # Errors
    /// When the server refuses; a server has room for one shop.
    pub async fn open(server: &ScratchPg) -> Result<Self> {
        let shop =
            Self { reader_password: scratch::random_word(16)?, writer_password: scratch::random_word(16)? };
        let maintenance = server.superuser("postgres").await?;
        for (role, password) in [(READER, &shop.reader_password), (WRITER, &shop.writer_password)] {
            maintenance.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'")).await?;
        }
        maintenance.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
        let client = server.superuser(DATABASE).await?;
        client.batch_execute("BEGIN").await?;
        client.batch_execute(include_str!("schema.sql")).await.context("the shop's tables")?;
        for sheet in rows::sheets() {
            load(&client, &sheet).await.with_context(|| format!("the rows of `{}`", sheet.table))?;
        }
        client.batch_execute(include_str!("access.sql")).await.context("the shop's roles")?;
        client.batch_execute("COMMIT").await?;
        Ok(shop)
    }

    /// The URL at the server itself, past any gate, as [`READER`].
    #[must_use]
    pub fn reader_url(&self, server: &ScratchPg) -> String {
        server.url(READER, &self.reader_password, DATABASE)
    }

    /// The URL at the server itself, past any gate, as [`WRITER`].
    #[must_use]
    pub fn writer_url(&self, server: &ScratchPg) -> String {
        server.url(WRITER, &self.writer_password, DATABASE)
    }
}

async fn load(client: &Client, sheet: &Sheet) -> Result<()> {
    let sink = client.copy_in(&format!("COPY {} FROM STDIN", sheet.table)).await?;
    let mut sink = pin!(sink);
    sink.send(std::io::Cursor::new(sheet.text.clone().into_bytes())).await?;
    let loaded = sink.finish().await?;
    anyhow::ensure!(loaded == sheet.rows, "loaded {loaded} rows of {}", sheet.rows);
    Ok(())
}
