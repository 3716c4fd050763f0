"""The four dashboards as data: one module each, made of the pieces in `panels`."""
