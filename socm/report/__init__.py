"""Plans and simulations for people: verdicts, tables, charts."""
