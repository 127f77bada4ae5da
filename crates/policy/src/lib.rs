//! Three answers from Cedar's two: allow, hold, deny.
