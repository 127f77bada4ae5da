GRANT USAGE ON SCHEMA public, features TO reporting_ro, shop_rw;
GRANT SELECT ON ALL TABLES IN SCHEMA public, features TO reporting_ro;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, features TO shop_rw;
ALTER SCHEMA features OWNER TO shop_rw;
ALTER TABLE features.churn OWNER TO shop_rw;
ALTER TABLE features.spend OWNER TO shop_rw;

CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX order_items_order ON order_items (order_id);
CREATE INDEX payments_order ON payments (order_id);
CREATE INDEX support_tickets_customer ON support_tickets (customer_id);

-- Row estimates are part of what an approver is shown.
ANALYZE;
