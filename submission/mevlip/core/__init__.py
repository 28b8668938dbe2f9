"""What every part needs: errors, files, tables, progress, and no network."""
