"""Audits of records made by others: what is trained and scored again, at what cost, and how much may differ."""
