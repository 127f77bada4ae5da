CREATE TABLE customers (
  id bigint PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL UNIQUE,
  phone text,
  card_last4 text NOT NULL,
  country text NOT NULL,
  created_at timestamptz NOT NULL,
  marketing_opt_in boolean NOT NULL
);

CREATE TABLE products (
  id bigint PRIMARY KEY,
  sku text NOT NULL UNIQUE,
  name text NOT NULL,
  price_cents bigint NOT NULL
);

CREATE TABLE orders (
  id bigint PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES customers,
  status text NOT NULL,
  total_cents bigint NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE TABLE order_items (
  id bigint PRIMARY KEY,
  order_id bigint NOT NULL REFERENCES orders,
  product_id bigint NOT NULL REFERENCES products,
  quantity integer NOT NULL,
  price_cents bigint NOT NULL
);

CREATE TABLE payments (
  id bigint PRIMARY KEY,
  order_id bigint NOT NULL REFERENCES orders,
  iban text NOT NULL,
  amount_cents bigint NOT NULL,
  status text NOT NULL
);

CREATE TABLE support_tickets (
  id bigint PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES customers,
  subject text NOT NULL,
  body text NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE SCHEMA features;

CREATE TABLE features.churn (
  customer_id bigint PRIMARY KEY,
  score real NOT NULL,
  computed_at timestamptz NOT NULL
);

CREATE TABLE features.spend (
  customer_id bigint PRIMARY KEY,
  total_cents bigint NOT NULL,
  orders integer NOT NULL,
  computed_at timestamptz NOT NULL
);
