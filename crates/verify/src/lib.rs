//! What an auditor reads: recomputes a log directory and names the first thing that does not fit.
