"""Numbers become ranks: pure functions of records and stored predictions, without catalog or torch."""
