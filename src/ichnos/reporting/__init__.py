"""Results for people: tables, figures and the self-contained HTML report."""
