"""Audits of records that others made: what is trained and scored again, at which cost, and what may differ."""
